"""A table as people read it: one model, and a module for each format."""
