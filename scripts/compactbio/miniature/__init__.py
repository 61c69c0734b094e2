"""The miniature: a small artificial biomedical literature in the official layouts, for the demo and the tests."""
