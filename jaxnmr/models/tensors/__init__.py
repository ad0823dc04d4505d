"""Tensor models: training, calibration, prediction, and distribution of trainings."""
