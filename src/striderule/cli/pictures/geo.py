"""Tags that speak of pixel positions and sizes, made true again when only every stride-th pixel is kept.

With output pixel u standing for input pixel s u (their centres coincide), positions map as follows. GeoTIFF counts from
the corner of the first pixel where its raster type is "area" (1025 = 1): p = s (u - 1/2) + 1/2; from the centre where
it is "point" (1025 = 2): p = s u (OGC GeoTIFF 1.1, requirements class Coordinate Transformation).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

PIXEL_SCALE = 33550
TIE_POINTS = 33922
TRANSFORMATION = 34264
KEY_DIRECTORY = 34735
NO_DATA = 42113
GEO_TAGS = (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, KEY_DIRECTORY)

_OME_TYPES = {"float32": "float", "float64": "double", "complex64": "complex", "complex128": "double-complex"}


def counts_from_centre(keys: Sequence[int]) -> bool:
    """Tell from the GeoKeyDirectory (groups of four: key, place, count, value) whether pixels are points."""
    groups = [tuple(keys[start : start + 4]) for start in range(4, len(keys), 4)]
    return any(group[0] == 1025 and group[3] == 2 for group in groups)


def strided(code: int, values: Sequence[float], stride: tuple[int, int], from_centre: bool) -> list[float]:
    """Return the values of a positional GeoTIFF tag after taking every stride-th (row, column).

    >>> strided(PIXEL_SCALE, [10.0, 10.0, 0.0], (2, 2), from_centre=False)
    [20.0, 20.0, 0.0]
    """
    down, across = stride
    half = 0.0 if from_centre else 0.5
    if code == PIXEL_SCALE:
        return [values[0] * across, values[1] * down, *values[2:]]
    if code == TIE_POINTS:
        moved = [float(value) for value in values]
        for start in range(0, len(moved) - 5, 6):
            moved[start] = (moved[start] - half) / across + half
            moved[start + 1] = (moved[start + 1] - half) / down + half
        return moved
    step = np.diag([across, down, 1.0, 1.0])
    step[0, 3], step[1, 3] = half * (1 - across), half * (1 - down)
    return [float(value) for value in (np.asarray(values, float).reshape(4, 4) @ step).ravel()]


def _multiplied(element: str, name: str, factor: int) -> str:
    """Return the XML element with the number in one attribute multiplied."""
    found = re.search(rf'\s{name}="([^"]*)"', element)
    if found is None:
        return element
    return element[: found.start(1)] + repr(float(found[1]) * factor) + element[found.end(1) :]


def ome_xml(text: str, size: tuple[int, int], stride: tuple[int, int], dtype: str) -> str:
    """Return OME-XML whose Pixels elements state the new size, pixel spacing and type; all else stays as it is.

    >>> ome_xml('<Pixels SizeX="8" SizeY="6" PhysicalSizeX="0.5" Type="uint8">', (3, 4), (2, 2), "float32")
    '<Pixels SizeX="4" SizeY="3" PhysicalSizeX="1.0" Type="float">'
    """

    def changed(match: re.Match[str]) -> str:
        element = match[0]
        values = {"SizeX": str(size[1]), "SizeY": str(size[0]), "Type": _OME_TYPES.get(dtype, dtype)}
        for name, value in values.items():
            element = re.sub(rf'(\s{name}=")[^"]*(")', rf"\g<1>{value}\g<2>", element)
        if f'Type="{values["Type"]}"' not in match[0]:
            element = re.sub(r'\sSignificantBits="[^"]*"', "", element)
        for name, factor in (("PhysicalSizeX", stride[1]), ("PhysicalSizeY", stride[0])):
            if factor > 1:
                element = _multiplied(element, name, factor)
        return element

    return re.sub(r"<(?:\w+:)?Pixels\s[^>]*>", changed, text)
