"""The life of runs: planned and fingerprinted, tried at the points of a grid, trained one by one, kept, published."""
