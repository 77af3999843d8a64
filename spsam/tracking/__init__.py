"""Runs in MLflow, where people look; the run folder stays the truth."""
