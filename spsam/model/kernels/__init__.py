"""Replacements for operations that are slow or wrong on a processor or in a library.

Each file documents the operation it replaces and when. A test verifies equal results.
"""
