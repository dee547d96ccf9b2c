"""Strided views and tensor products in NumPy: works anywhere NumPy does, with bounded workspace."""
