"""Replacements for operations that are slow or wrong on some processors or in some libraries.

Each file documents the operation that it replaces and under which conditions. A test verifies equal
results.
"""
