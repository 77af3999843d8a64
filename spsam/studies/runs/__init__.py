"""Runs of a folder of results: which there are, and the one that is meant."""
