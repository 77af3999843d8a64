"""Prediction of a training's GPU memory on a machine without a GPU."""
