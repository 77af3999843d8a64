"""Readers of data-set layouts, one layout a file."""
