"""What runs have come to: tables of a study, and MLflow."""
