"""Examination of a data set by `spsam data check`: each case alone, then all cases compared."""
