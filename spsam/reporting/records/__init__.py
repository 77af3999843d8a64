"""Results of record: archived results, small enough to ship and to recompute."""
