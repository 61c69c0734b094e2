"""Scoring: both protocols' measures, computed from stored predictions, without a model and without torch."""
