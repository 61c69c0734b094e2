"""Reporting: score tables collected, checked and shown beside the published values."""
