"""Images: data sets, splits, plans, preparation, patches and the way back to the original grid."""
