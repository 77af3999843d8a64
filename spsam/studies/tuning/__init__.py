"""The tuning stage of a study: a small sweep of every arm, on validation cases."""
