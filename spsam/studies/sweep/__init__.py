"""Sweeps: hyperparameter searches by Optuna, whose trials are ordinary runs."""
