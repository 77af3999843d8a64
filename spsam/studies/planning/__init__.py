"""Planning of a study's runs from a request; planning writes and trains nothing."""
