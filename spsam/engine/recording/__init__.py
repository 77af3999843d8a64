"""Further results of a run: its cost, its measures and slices for figures."""
