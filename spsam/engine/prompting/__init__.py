"""Evaluation with external prompts: images are encoded once and decoded for many prompts."""
