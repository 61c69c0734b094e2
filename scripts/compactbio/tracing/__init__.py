"""The way back from a cell of a table to the files it comes from."""
