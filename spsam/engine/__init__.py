"""One run: assemble the network, train it, predict, evaluate, keep its folder."""
