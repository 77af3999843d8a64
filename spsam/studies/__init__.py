"""Studies: planning them into runs, executing the runs, and recording the results."""
