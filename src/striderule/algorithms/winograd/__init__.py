"""Convolution of kernels with 2 to 7 taps and stride 1, in fewer multiplications than the definition has products.

A tile of m x m outputs needs n x n inputs (n = m + kernel - 1), and n x n products instead of those of every output
with every tap: y = A' ((G w G') * (B' x B)) A, summed over channels before A (`planning.cooktoom` has the derivation).

Three steps for a block of tiles, each on data that the one before has left in the cache:

    inputs     V[point, tile, channel]  = B' x B      vectors along input channels
    products   M[point, tile, output]   = sum over channels of V[point, tile, channel] * U[point, channel, output]
    outputs    y[output, row, column]   = A' M A      vectors along output channels, then bias, residual, activation

`weights` makes U = G w G' once; `convolution` is what the library calls.
"""
