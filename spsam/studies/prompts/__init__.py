"""Prompt studies: planning the cells, evaluating them, and summarising the results."""
