"""Scores of a segmentation against its reference, under a named convention."""
