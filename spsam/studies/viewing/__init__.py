"""Viewing of cases with the label maps of trained runs or of folders of predictions."""
