"""Tuning: a sweep of every arm of a study on validation cases, before the study's runs."""
