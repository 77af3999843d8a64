"""Where the runs of a study are computed: one file each, one contract."""
