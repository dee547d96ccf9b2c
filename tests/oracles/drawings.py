"""How the tests read numbers back from drawings."""

from fractions import Fraction

import numpy as np


def number(text):
    """Return the number that a text in a cell shows."""
    text = text.replace("−", "-").replace("∞", "inf")
    return float(Fraction(text)) if "/" in text else float(text)


def at_cells(ax):
    """Return {(row, column): text} of all texts in an Axes; cells have whole coordinates."""
    return {(text.get_position()[1], text.get_position()[0]): text for text in ax.texts}


def block(ax, at, shape):
    """Return the numbers written in a block of cells."""
    found = at_cells(ax)
    rows = [[number(found[at[0] + r, at[1] + c].get_text()) for c in range(shape[1])] for r in range(shape[0])]
    return np.array(rows)


def correlate_by_hand(image, kernel, stride=(1, 1), dilation=(1, 1), pads=((0, 0), (0, 0))):
    """Return the output, written from the definition with plain loops; negative padding crops."""
    (top, bottom), (left, right) = pads
    rows = [[0] * (len(image[0]) + left + right) for _ in range(len(image) + top + bottom)]
    for r in range(len(rows)):
        for c in range(len(rows[0])):
            if 0 <= r - top < len(image) and 0 <= c - left < len(image[0]):
                rows[r][c] = image[r - top][c - left]
    high = (len(rows) - dilation[0] * (len(kernel) - 1) - 1) // stride[0] + 1
    wide = (len(rows[0]) - dilation[1] * (len(kernel[0]) - 1) - 1) // stride[1] + 1
    result = [[0] * wide for _ in range(high)]
    for i in range(high):
        for j in range(wide):
            for u in range(len(kernel)):
                for v in range(len(kernel[0])):
                    value = rows[i * stride[0] + u * dilation[0]][j * stride[1] + v * dilation[1]]
                    result[i][j] += value * kernel[u][v]
    return result
