"""Direct convolution on generated code: every product of the definition, formed in tiles of registers.

The input is laid out in planes once (`planes`), where every tap of the kernel is one constant distance, whatever the
rank, stride and dilation. Then a convolution is a matrix product whose second operand is read at a table of distances:

    y[o, q] = sum over k of w[o, k] * x[q + table[k]]        k runs over channels and taps, q over output positions

`routine` writes that product in the tile language; `convolution` is what the library calls.
"""
