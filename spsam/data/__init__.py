"""Data sets, splits, preprocessing, patches, and the mapping back to the original grid."""
