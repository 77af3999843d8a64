"""A case in three planes, as one HTML page that works from disk."""
