"""A page that shows a case in three planes: one HTML file that works offline."""
