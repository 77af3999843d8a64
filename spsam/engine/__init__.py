"""Execution of one run: build the network, train it, predict, evaluate, and write its folder."""
