"""The rule by which `striderule.vjp` differentiates filters in their image."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from striderule.errors import InvalidArgument
from striderule.filters.formulas import Formula
from striderule.filters.request import DEFAULTS, Array
from striderule.functional import tracing
from striderule.functional.gradients.call import Call, Pull, Rule
from striderule.functional.gradients.images import pulled
from striderule.functional.gradients.vjp import differentiated, signature_of
from striderule.functional.images import correlate

F = TypeVar("F", bound=Callable[..., Any])


def differentiable(function: F) -> F:
    """Let `striderule.vjp` differentiate a filter that notes one formula on its way."""
    function.__gradient__ = rule  # type: ignore[attr-defined]
    return function


def rule(call: Call) -> tuple[Any, Pull]:
    """Run a filter in full, and differentiate the formula that it notes."""
    from striderule.filters import adjoints  # noqa: PLC0415 - which needs the filters

    arguments = {name: value for name, value in call.arguments.items() if name not in DEFAULTS or name in call.given}
    image, out = call.array("image"), arguments.get("out")
    outs = out if isinstance(out, tuple | list) else (out,)
    if any(isinstance(one, np.ndarray) and np.may_share_memory(one, image) for one in outs):
        image = image.copy()  # what is written over is needed again
    arguments["image"] = image
    with np.errstate(all="ignore"):
        result, notes = tracing.anew(inspect.unwrap(call.op), arguments)
    formulas = [note for note in notes if isinstance(note, Formula)]
    if len(formulas) != 1:
        like = arguments.get("like")
        what = "around missing pixels" if like is None else f"with like={like!r}; leave like= away for ours"
        raise InvalidArgument(f"{call.op.__name__} has no gradient {what}")
    first = result[0] if isinstance(result, tuple) else result

    def pull(gy: Array) -> dict[str, Array | None]:
        if not call.wanted:
            return {}
        with np.errstate(all="ignore"):
            return adjoints.pulled(formulas[0], gy, first, call.wanted)

    return result, pull


def by(own: Rule) -> Callable[[F], F]:
    """Let `striderule.vjp` differentiate a function by a rule of its own."""

    def decorate(function: F) -> F:
        function.__gradient__ = own  # type: ignore[attr-defined]
        return function

    return decorate


def mean(call: Call) -> tuple[Any, Pull]:
    """Differentiate `mean`, another name of `box`."""
    from striderule.filters.smoothing import box  # noqa: PLC0415 - which needs this module

    words = {name: value for name, value in call.arguments.items() if name != "keywords"}
    return differentiated(box, {**words, **call.arguments["keywords"]}, call.wanted)


def magnitude(call: Call) -> tuple[Any, Pull]:
    """Differentiate a length in its components: g x / y, and 0 where y is 0."""
    parts = {f"gradients {number}": part for number, part in enumerate(call.arguments["gradients"])}
    result = call.op(*parts.values())

    def pull(gy: Array) -> dict[str, Array | None]:
        with np.errstate(all="ignore"):
            wide = np.result_type(gy, np.float32)
            share = np.where(result == 0, 0, gy.astype(wide) / result.astype(wide))
            return {name: np.asarray(parts[name]) * share for name in call.wanted}

    return result, pull


def bank(call: Call) -> tuple[Any, Pull]:
    """Differentiate a bank of kernels: the image belongs to all of them."""
    image, kernels, out = call.array("image"), call.arguments["kernels"], call.arguments["out"]
    result = call.op(image, kernels, out=out, **call.arguments["arguments"])
    words = {name: one.default for name, one in signature_of(correlate).parameters.items()}
    words |= call.arguments["arguments"]
    asked = frozenset({"image": "image", "kernels": "kernel"}[name] for name in call.wanted)

    def pull(gy: Array) -> dict[str, Array | None]:
        each = [pulled(image, words | {"kernel": one}, g, asked) for one, g in zip(kernels, gy, strict=True)]
        found: dict[str, Array | None] = {}
        if "image" in asked:
            found["image"] = np.sum([np.asarray(one["image"]) for one in each], axis=0)
        if "kernel" in asked:
            found["kernels"] = np.stack([np.asarray(one["kernel"]) for one in each])
        return found

    return result, pull
