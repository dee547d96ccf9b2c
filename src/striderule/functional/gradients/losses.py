"""Gradients of losses.

With p = softmax(z) and a loss -sum over c of q[c] * log p[c], dL/dz[c] = p[c] * (sum of q) - q[c].
"""

from __future__ import annotations

import numpy as np

from striderule.functional.door import Array
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.losses import Entropy, differences, entropy


def cross_entropy(call: Call) -> tuple[Array, Pull]:
    """Differentiate a cross entropy, in its logits and in targets that are probabilities."""
    words = call.arguments
    found = entropy(
        words["logits"], words["targets"], words["weight"], words["ignore_index"], words["label_smoothing"],
        words["reduction"],
    )  # fmt: skip

    def pull(gy: Array) -> dict[str, Array | None]:
        g = found.upstream(gy)
        gradients: dict[str, Array | None] = {}
        with np.errstate(all="ignore"):
            if "logits" in call.wanted:
                gradients["logits"] = _of_logits(found, g).reshape(call.array("logits").shape)
            if "targets" in call.wanted:
                by_target = -found.logarithms * found.part * g
                gradients["targets"] = by_target.reshape(call.array("targets").shape)
        return gradients

    return found.reduced(), pull


def _of_logits(found: Entropy, g: Array) -> Array:
    shares = np.exp(found.logarithms)
    if found.probabilities is not None:
        whole = found.probabilities if found.spread is None else found.probabilities + found.spread
        shares *= whole.sum(axis=1, keepdims=True)
        shares -= whole
        shares *= g
        return shares
    assert found.classes is not None  # there are either classes or probabilities
    total = found.part if found.spread is None else found.part + found.spread.sum(axis=1, keepdims=True)
    # What is ignored counts nothing, though its loss may be infinite.
    scaled = np.where(total == 0, 0, total * g)
    shares *= scaled
    if found.spread is not None:
        shares -= found.spread * g
    own = np.take_along_axis(shares, found.classes, 1) - np.where(total == 0, 0, found.part * g)
    np.put_along_axis(shares, found.classes, own, 1)
    return shares


def mse_loss(call: Call) -> tuple[Array, Pull]:
    """Differentiate a mean squared error, in both arrays."""
    words = call.arguments
    reduction = words["reduction"]
    difference, _ = differences(words["x"], words["target"], reduction)
    result = call.run()

    def pull(gy: Array) -> dict[str, Array | None]:
        scale = 2 / difference.size if reduction == "mean" and difference.size else 2
        with np.errstate(all="ignore"):
            found = difference * (gy.astype(difference.dtype) * np.asarray(scale, difference.dtype))
        return {"x": found, "target": -found if "target" in call.wanted else None}

    return result, pull


RULES: dict[str, Rule] = {"cross_entropy": cross_entropy, "mse_loss": mse_loss}
