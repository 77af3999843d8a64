"""Recording of runs in a study's tables and in MLflow."""
