"""Volumes brought onto the plan's grid, stored, and brought back to their own grid."""
