"""Statistics of paired runs: intervals, tests, effect sizes."""
