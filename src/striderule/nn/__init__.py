"""Layers: objects that keep the weights of an operation. They correlate, as in all frameworks."""

from striderule.nn.convolution import ConvLayer
from striderule.nn.layer import Layer

__all__ = ["ConvLayer", "Layer"]
