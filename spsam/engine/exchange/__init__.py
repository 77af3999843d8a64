"""Trained runs in one file that can be given away: its archive, and what is in it."""
