"""Executors, which compute the runs of a study: one module for each, with a common interface."""
