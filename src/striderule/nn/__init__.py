"""Layers: objects that keep the weights of an operation. They correlate, as in all frameworks."""

from striderule.nn.containers import Concat, Residual, Sequential
from striderule.nn.convolution import ConvLayer
from striderule.nn.layer import Layer, Operation
from striderule.nn.parameter import Held, Parameter

__all__ = ["Concat", "ConvLayer", "Held", "Layer", "Operation", "Parameter", "Residual", "Sequential"]
