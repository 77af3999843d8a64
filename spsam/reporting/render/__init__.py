"""Rendering of tables: a model, and one module per output format."""
