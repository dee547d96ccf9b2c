"""Transposed convolution by products that are spread: routine, tables and calls."""
