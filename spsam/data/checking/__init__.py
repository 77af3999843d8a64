"""What `spsam data check` examines: each case, and all cases of a data set beside each other."""
