"""Gradients of the functions: what `striderule.vjp` looks up, one module a family."""
