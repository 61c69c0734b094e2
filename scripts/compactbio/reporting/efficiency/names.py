"""The names of the forms of a deployed model, and of the files that measure_deployment writes."""

from __future__ import annotations

TORCH, ONNX, INT8 = FORMS = ("torch fp32", "ONNX fp32", "ONNX int8")
MEASUREMENTS = "measurements.json"
INT8_FILE = "model.int8.onnx"
DEPLOYMENT = "reporting/deployment"  # in the results: the measurements, and a folder per model
