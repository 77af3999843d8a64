"""From what is asked for to the runs of a study; nothing is written, nothing trained."""
