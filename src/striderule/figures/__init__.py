"""Drawings of arrays, windows and layers: functions that take and return matplotlib Axes.

Without `ax=` each makes its own Figure (``ax.figure``) outside pyplot: nothing is shown, and nothing stays registered.
A notebook shows what a cell ends with; elsewhere save it with ``ax.figure.savefig("name.png")``. Pass one of the Axes
of your own figure to draw into that.
"""

from __future__ import annotations

import importlib.util

from striderule.errors import MissingExtra

if importlib.util.find_spec("matplotlib") is None:
    raise MissingExtra.of("figures", needs="matplotlib")

from striderule.figures.activations import activation
from striderule.figures.animation import animate
from striderule.figures.curves import curves
from striderule.figures.maps import feature_maps
from striderule.figures.pictures import image, kernel
from striderule.figures.receptive import receptive_field
from striderule.figures.roofline import roofline
from striderule.figures.shapes import geometry
from striderule.figures.steps import window
from striderule.figures.surroundings import surroundings

__all__ = [
    "activation",
    "animate",
    "curves",
    "feature_maps",
    "geometry",
    "image",
    "kernel",
    "receptive_field",
    "roofline",
    "surroundings",
    "window",
]
