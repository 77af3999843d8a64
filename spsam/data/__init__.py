"""Images: data sets, splits, planning, preparation, patches, and the way back to the original grid."""
