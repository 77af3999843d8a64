"""Tracking in MLflow, a copy of the results; the run folders remain the authoritative record."""
