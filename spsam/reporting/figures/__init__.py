"""Figures of a study, with one module per figure and a common style."""
