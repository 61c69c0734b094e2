"""The figures, drawn with matplotlib."""

import matplotlib

matplotlib.use("Agg")  # no display is needed
