"""The tables: their cells, columns and notes, and the files that they are written to."""
