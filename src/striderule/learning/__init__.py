"""What the commands ``train`` and ``predict`` and the last chapters of the tour learn: digits, and kernels."""
