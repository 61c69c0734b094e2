"""The names of the forms of a deployed model."""

from __future__ import annotations

TORCH, ONNX, INT8 = FORMS = ("torch fp32", "ONNX fp32", "ONNX int8")
