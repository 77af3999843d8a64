"""Preprocessing of volumes to the plan's grid, storage, and mapping back to their own grid."""
