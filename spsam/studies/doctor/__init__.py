"""Checks of a machine and its installation for `spsam doctor`, before a training is started."""
