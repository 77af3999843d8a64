"""What a run writes down beside its scores: its cost, its measures, its pictures."""
