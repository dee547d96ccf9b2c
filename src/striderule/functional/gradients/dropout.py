"""Gradient of dropout: what was dropped gets none, the rest what it was scaled by."""

from __future__ import annotations

import numpy as np

from striderule.functional.door import Array
from striderule.functional.dropout import dropped, scaled
from striderule.functional.gradients.call import Call, Pull, Rule


def dropout(call: Call) -> tuple[Array, Pull]:
    """Differentiate dropout; the mask is kept, and x is not."""
    words = call.arguments
    result, keep, scale = dropped(words["x"], words["p"], words["training"], words["seed"], words["out"])

    def pull(gy: Array) -> dict[str, Array | None]:
        found = np.empty_like(gy)
        scaled(gy, keep, scale, found)
        return {"x": found}

    return result, pull


RULES: dict[str, Rule] = {"dropout": dropout}
