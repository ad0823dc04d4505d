"""Tensor models: training, calibration, prediction, and what takes them elsewhere."""
