"""Readers of the known data set layouts, one a module."""
