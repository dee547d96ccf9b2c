"""Sums of outer products, as passes along the axes: down the columns into a line that stays in the cache, and along it.

`stencil` is the function; `call` cuts the work and makes the words, and `routine` writes the code: `down` the vertical
pass, `across` the horizontal one, `windows` the sums of equal taps, of which each costs the same at any length.
"""
