"""Runs in a folder of results: listing them, and finding them by name."""
