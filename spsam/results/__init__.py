"""Results of runs: tidy rows (one per case, class and metric) and the files of a run's folder."""
