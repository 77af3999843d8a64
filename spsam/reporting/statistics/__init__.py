"""Statistics of paired runs: confidence intervals, tests, effect sizes."""
