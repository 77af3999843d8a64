"""Sampling of training data: patches of prepared volumes, and procedural images for `sam_tiny`."""
