"""Convolution on dot-product instructions: narrow numbers, of which a lane of 32 bits multiplies two or four at a time.

The input is packed into words once (`packing`): each holds the numbers of two or four neighbouring channels at one
position. To direct convolution a word is an element like any other, so everything else is its own (`direct.product`):
planes, tiles, edges, borders and epilogue. Only the innermost product is another instruction (`codegen.dots`).
"""
