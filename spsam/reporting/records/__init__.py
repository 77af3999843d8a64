"""Results of record: what was measured, kept small enough to ship and to be computed again."""
