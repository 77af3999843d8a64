"""Readers of data set layouts, one module per layout."""
