"""Trained runs in one file for distribution: the archive and its content."""
