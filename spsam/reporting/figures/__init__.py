"""Figures of a study: one file a figure, one style."""
