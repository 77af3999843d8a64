"""Tidy result rows: one per case and class."""
