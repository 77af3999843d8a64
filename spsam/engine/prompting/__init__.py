"""Prompts from elsewhere: a network's encoder once, its decoder for each way of prompting."""
