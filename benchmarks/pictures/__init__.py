"""``python -m benchmarks pictures``: filters of images and volumes beside OpenCV, SciPy, scikit-image and PyTorch."""

from benchmarks.pictures.tables import main

__all__ = ["main"]
