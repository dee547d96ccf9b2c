"""Correlation coefficients: sums of products made by a correlation, set against what windows and template hold."""
