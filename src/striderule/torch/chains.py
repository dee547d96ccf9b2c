"""Which nodes of a traced model are one call of striderule: a convolution with what follows it.

What follows, in this order and each if it is there: a batch normalisation, which in inference only scales and shifts
channels and so becomes part of weight and bias; an addition; an activation. All of them must be the only ones to see
what comes before, and nothing in between may write to memory, because the convolution then runs where the last of them
stood.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everybody calls it
from torch import fx, nn

from striderule.functional import activation, adaptive_pooling, pooling
from striderule.torch.layers import ACTIVATIONS, POOLINGS, REPLACED, plain_type, refused, untouched

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
# How models call activations that are no layers: functions, and methods of tensors.
CALLED: dict[Any, str] = {
    F.relu: "relu", torch.relu: "relu", F.relu6: "relu6", F.leaky_relu: "leaky_relu", F.elu: "elu", F.gelu: "gelu",
    F.silu: "silu", F.mish: "mish", F.hardswish: "hardswish", F.hardsigmoid: "hardsigmoid", torch.sigmoid: "sigmoid",
    F.sigmoid: "sigmoid", torch.tanh: "tanh", F.tanh: "tanh", torch.relu_: "relu",
    "relu": "relu", "relu_": "relu", "sigmoid": "sigmoid", "tanh": "tanh",
}  # fmt: skip
POOLED: dict[Any, Callable[..., Any]] = {
    **{getattr(F, f"max_pool{n}d"): getattr(pooling, f"max_pool{n}d") for n in (1, 2, 3)},
    **{getattr(F, f"avg_pool{n}d"): getattr(pooling, f"avg_pool{n}d") for n in (1, 2, 3)},
    **{getattr(F, f"adaptive_avg_pool{n}d"): getattr(adaptive_pooling, f"adaptive_avg_pool{n}d") for n in (1, 2, 3)},
}
# Axes of the planes of images, in words.
_PLANES = (["2", "3"], ["-1", "-2"])
# Arguments of our functions that PyTorch's do not have, or that are no part of the mathematics.
_OURS = ("inplace", "algorithm", "out", "dtype")


@dataclass(frozen=True)
class Chain:
    """A convolution and what follows it. `nodes` are all of them in order; `words` are those of the activation."""

    nodes: tuple[fx.Node, ...]
    convolution: str
    norm: str | None = None
    residual: fx.Node | None = None
    words: tuple[Any, ...] | None = None

    @property
    def followers(self) -> list[str]:
        """What was fused into the convolution, in words."""
        added = ["addition"] if self.residual is not None else []
        return [*([] if self.norm is None else [self.norm]), *added, *([] if self.words is None else [self.words[0]])]


def chains(graph: fx.Graph, modules: dict[str, nn.Module]) -> list[Chain]:
    """Return what can be fused. Where a sum has two convolutions that could take it, the later one does."""
    nodes = list(graph.nodes)
    place = {node: i for i, node in enumerate(nodes)}
    writers = [i for i, node in enumerate(nodes) if _writes(node, modules)]
    taken: set[fx.Node] = set()
    found = []
    for node in reversed(nodes):
        if node.op == "call_module" and _is_convolution(modules[str(node.target)]) and len(node.args) == 1:
            chain = _chain(node, modules, place, writers, taken)
            taken.update(chain.nodes)
            found.append(chain)
    return found[::-1]


def _chain(
    first: fx.Node, modules: dict[str, nn.Module], place: dict[fx.Node, int], writers: list[int], taken: set[fx.Node]
) -> Chain:
    nodes, norm, residual, words = [first], None, None, None

    def following() -> fx.Node | None:
        user = next(iter(nodes[-1].users)) if len(nodes[-1].users) == 1 else None
        if user is None or user in taken or user.op == "output":
            return None
        inside = {place[node] for node in (*nodes, user)}
        between = range(place[first], place[user])
        return None if any(at in between and at not in inside for at in writers) else user

    user = following()
    if user is not None and user.op == "call_module" and _is_norm(modules[str(user.target)]) and not user.kwargs:
        norm = str(user.target)
        nodes.append(user)
        user = following()
    if user is not None:
        residual = _added_to(nodes[-1], user)
        if residual is not None:
            nodes.append(user)
            user = following()
    if user is not None:
        words = activation_of(user, modules)
        if words is not None:
            nodes.append(user)
    return Chain(tuple(nodes), str(first.target), norm, residual, words)


def _is_convolution(module: nn.Module) -> bool:
    plain = plain_type(module)
    return plain in REPLACED and "Conv" in plain.__name__ and refused(module) is None and untouched(module)


def _is_norm(module: nn.Module) -> bool:
    return type(module) in NORMS and module.running_mean is not None and untouched(module)


def _added_to(node: fx.Node, user: fx.Node) -> fx.Node | None:
    """Return what is added to a node by its user, or None if it does something else."""
    sums = (operator.add, operator.iadd, torch.add, "add", "add_")
    if user.op not in ("call_function", "call_method") or user.target not in sums or user.kwargs:
        return None
    if len(user.args) != 2 or not all(isinstance(one, fx.Node) for one in user.args):
        return None
    first, second = user.args
    if first is second:
        return None
    if first is node:
        return second
    # `y += x` writes to y, which others may see.
    return first if user.target in (operator.add, torch.add, "add") else None


def activation_of(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[Any, ...] | None:
    """Return an activation as striderule's word with its parameters, or None."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        plain = plain_type(module)
        if plain not in ACTIVATIONS or not untouched(module):
            return None
        word, *fields = ACTIVATIONS[plain]
        return (word, *(getattr(module, field) for field in fields))
    name = CALLED.get(node.target) if node.op in ("call_function", "call_method") else None
    if name is None or len(node.args) < 1:
        return None
    known = inspect.signature(getattr(activation, name))
    try:
        bound = known.bind(None, *node.args[1:], **node.kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    values = [value for word, value in list(bound.arguments.items())[1:] if word not in _OURS]
    return None if any(isinstance(value, fx.Node) for value in values) else (name, *values)


def pooling_of(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[Callable[..., Any], dict[str, Any]] | None:
    """Return a pooling as striderule's function and its words, or None."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        plain = plain_type(module)
        if plain not in POOLINGS or not untouched(module) or refused(module) is not None:
            return None
        function, *fields = POOLINGS[plain]
        return function, {field: getattr(module, field) for field in fields}
    function = POOLED.get(node.target) if node.op == "call_function" else None
    if function is None:
        return None
    try:
        bound = inspect.signature(function).bind(None, *node.args[1:], **node.kwargs)
    except TypeError:
        return None
    words = dict(list(bound.arguments.items())[1:])
    if words.get("return_indices") or any(isinstance(value, fx.Node) for value in words.values()):
        return None
    return function, words


def mean_of(node: fx.Node) -> bool | None:
    """Return whether the mean over the last two of four axes keeps these; None of a node that is no such mean."""
    if node.op not in ("call_function", "call_method") or node.target not in ("mean", torch.mean):
        return None
    told = {**dict(zip(("dim", "keepdim"), node.args[1:], strict=False)), **node.kwargs}
    dim, keep = told.get("dim"), told.get("keepdim", False)
    plain = len(told) == len(node.args[1:]) + len(node.kwargs) and told.keys() <= {"dim", "keepdim"}
    fits = plain and isinstance(dim, tuple | list) and sorted(map(str, dim)) in _PLANES
    return keep if fits and isinstance(keep, bool) else None


def _writes(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Tell whether a node may write to memory that others see."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        known = type(module).__module__.startswith(("torch.nn.modules", "striderule.torch")) and untouched(module)
        return bool(getattr(module, "inplace", False)) or not known
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "_")
    flagged = any(value is True for value in (*node.args[1:], node.kwargs.get("inplace")))
    changing = name in ("setitem", "iadd", "isub", "imul", "itruediv", "ipow", "ior", "iand")
    return changing or flagged or "out" in node.kwargs or (name.endswith("_") and not name.endswith("__"))
