"""Convolution of few channels a group in generated machine code: every output sees one input channel, or a few.

Vectors run along the columns of a plane, or along the channels where these lie side by side, so an input is used for
the outputs of several rows while it is in a register, and no sum runs across lanes.
"""
