"""The public Python API: trained runs, and the commands as functions.

`import spsam` exports them. Heavy libraries are imported on first use.
"""
