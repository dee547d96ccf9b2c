"""A model as a list of steps: convolutions with what follows them in one call each, everything else as it was.

Values between our own steps stay arrays; PyTorch's steps are given tensors that share memory with them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from itertools import chain as chained
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from striderule.functional import activation, adaptive_pooling, recipes
from striderule.functional.precision import Standing, under
from striderule.torch.chains import Chain, activation_of, chains, mean_of, pooling_of
from striderule.torch.layers import MOST, REPLACED, function_of, untouched, versions, words_of
from striderule.torch.operators import array_of

Array = np.ndarray[Any, Any]
Values = list[Any]
# Layers that do nothing in inference.
NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


class Untraceable(Exception):
    """What a model does cannot be written down as a list of steps."""


class _Proxy(fx.Proxy):
    """A value of the trace. What writes to it is noted as such."""


def _writing(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _name in ("iadd", "isub", "imul", "itruediv"):
    setattr(_Proxy, f"__{_name}__", _writing(getattr(operator, _name)))


class _Tracer(fx.Tracer):
    """Follows a model down to PyTorch's layers, and to what has hooks."""

    traced_func_name = "forward"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module is one step."""
        kind = type(m)
        return kind in REPLACED.values() or not untouched(m) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return the value of a node."""
        return _Proxy(node, self)

    def create_arg(self, a: Any) -> Any:
        """Return an argument as the graph keeps it; a tensor that was made on the way may be another next time."""
        if isinstance(a, Tensor) and not isinstance(a, nn.Parameter) and a not in self.tensor_attrs:
            raise Untraceable("it makes tensors of its own")
        return super().create_arg(a)


def traced(root: nn.Module) -> fx.Graph:
    """Return the graph of a model in inference; raise `Untraceable`."""
    tracer = _Tracer()
    tracer.traced_func_name = "_plain_forward" if hasattr(type(root), "_plain_forward") else "forward"
    code = getattr(getattr(type(root), tracer.traced_func_name), "__code__", None)
    if code is None or code.co_kwonlyargcount or code.co_flags & 0x0C or getattr(type(root).forward, "__defaults__", 0):
        raise Untraceable("its forward has arguments that may be left away")
    try:
        return tracer.trace(root)
    except Exception as error:  # whatever the model's own code does with what is no tensor
        raise Untraceable(str(error)) from error


def as_array(value: Any) -> Array | None:
    """Return a value as an array that shares its memory, or None if it is nothing that we compute with."""
    if type(value) is np.ndarray:
        return value
    if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float64) and value.layout is torch.strided:
        return array_of(value)
    return None


def as_tensor(value: Any) -> Any:
    """Return an array as a tensor that shares its memory; anything else as it is."""
    return torch.from_numpy(value) if type(value) is np.ndarray else value


class _Slot(int):
    """The place of a value."""


def _filled(template: Any, values: Values) -> Any:
    kind = type(template)
    if kind is _Slot:
        return as_tensor(values[template])
    if isinstance(template, tuple | list):
        filled = [_filled(one, values) for one in template]
        return filled if isinstance(template, list) else tuple(filled)
    if isinstance(template, dict):
        return {name: _filled(one, values) for name, one in template.items()}
    if kind is slice:
        return slice(*(_filled(one, values) for one in (template.start, template.stop, template.step)))
    return template


class Plain:
    """A step as PyTorch does it."""

    def __init__(self, root: nn.Module, node: fx.Node, slots: dict[fx.Node, int]) -> None:
        self.out = slots[node]
        self.args = fx.node.map_arg(node.args, lambda one: _Slot(slots[one]))
        self.kwargs = fx.node.map_arg(node.kwargs, lambda one: _Slot(slots[one]))
        self.function: Callable[..., Any]
        if node.op == "call_module":
            self.function = root.get_submodule(str(node.target))
        elif node.op == "get_attr":
            self.function = partial(operator.attrgetter(str(node.target)), root)
        elif node.op == "call_method":
            self.function = _method(str(node.target))
        else:
            self.function = node.target

    def run(self, values: Values, promise: str) -> None:  # noqa: ARG002 - as of other steps
        """Compute the value."""
        values[self.out] = self.function(*_filled(self.args, values), **_filled(self.kwargs, values))


def _method(name: str) -> Callable[..., Any]:
    return lambda self, *args, **kwargs: getattr(self, name)(*args, **kwargs)


class Computed:
    """A pooling or an activation on its own; where the function answers None, PyTorch computes it."""

    def __init__(self, function: Callable[[Array], Array | None], plain: Plain, x: int) -> None:
        self.function, self.plain, self.x = function, plain, x

    def run(self, values: Values, promise: str) -> None:
        """Compute the value."""
        x = as_array(values[self.x])
        found = None if x is None else self.function(x)
        if found is None:
            self.plain.run(values, promise)
        else:
            values[self.plain.out] = found


class Same:
    """A step that does nothing in inference."""

    def __init__(self, x: int, out: int) -> None:
        self.x, self.out = x, out

    def run(self, values: Values, promise: str) -> None:  # noqa: ARG002 - as of other steps
        """Hand the value on."""
        values[self.out] = values[self.x]


class Fused:
    """A convolution with what follows it. Weights are packed once for a shape, until `renew` says that they changed."""

    def __init__(self, root: nn.Module, chain: Chain, slots: dict[fx.Node, int]) -> None:
        self.layer: Any = root.get_submodule(chain.convolution)
        self.norm: Any = None if chain.norm is None else root.get_submodule(chain.norm)
        self.words = words_of(self.layer) | {"activation": chain.words}
        first = chain.nodes[0].args[0]
        assert isinstance(first, fx.Node)
        self.x, self.out = slots[first], slots[chain.nodes[-1]]
        self.residual = None if chain.residual is None else slots[chain.residual]
        self.plain = [Plain(root, node, slots) for node in chain.nodes]
        self.ready: dict[Any, Callable[[Array, Array | None], Array] | None] = {}
        self.state: Any = ()

    def held(self) -> list[Tensor]:
        """Return all tensors that the step computes with."""
        layers = [self.layer] if self.norm is None else [self.layer, self.norm]
        own = ("weight", "bias", "running_mean", "running_var")
        found = [getattr(layer, name, None) for layer in layers for name in own]
        return [one for one in found if one is not None]

    def renew(self) -> None:
        """Forget what is packed, if it is stale."""
        state = versions(self.held())
        if state is None or state != self.state:
            self.ready, self.state = {}, state

    def run(self, values: Values, promise: str) -> None:
        """Compute the value."""
        x, residual = as_array(values[self.x]), None
        if self.residual is not None:
            residual = as_array(values[self.residual])
        if x is not None and (residual is None) is (self.residual is None):
            key: Any = (x.shape, x.strides, x.dtype, promise)
            if residual is not None:
                key = (*key, residual.shape, residual.strides, residual.dtype)
            if key not in self.ready:
                while len(self.ready) >= MOST:
                    self.ready.pop(next(iter(self.ready)), None)
                self.ready[key] = self._bound(x, residual, promise)
            ready = self.ready[key]
            if ready is not None:
                values[self.out] = ready(x, residual)
                return
        for step in self.plain:
            step.run(values, promise)

    def _bound(self, x: Array, residual: Array | None, promise: str) -> Callable[[Array, Array | None], Array] | None:
        """Return what computes the step for arrays like these, or None if it takes others."""
        if any(one.dtype != self.layer.weight.dtype for one in self.held()) or x.ndim != self.layer.weight.ndim:
            return None
        weight, bias = folded(self.layer, self.norm)
        if x.dtype != weight.dtype or (residual is not None and residual.dtype != x.dtype):
            return None
        function, words = function_of(self.layer), self.words
        if residual is not None:
            shape = tuple(function(x[:0], weight, bias, **words).shape[1:])
            if residual.shape != (x.shape[0], *shape):
                return None
            words = {**words, "residual": residual}
        with under(Standing(promise, packed=True)):
            return recipes.with_addend(function, x, weight, bias, words)


def folded(layer: Any, norm: Any) -> tuple[Array, Array | None]:
    """Return weight and bias of a convolution with the normalisation behind it.

    A normalisation in inference is y = (x - mean) * scale + shift, with scale = gamma / sqrt(variance + eps).
    """
    weight = array_of(layer.weight)
    bias = None if layer.bias is None else array_of(layer.bias)
    if norm is None:
        return weight, bias
    mean, variance = (array_of(one).astype(np.float64) for one in (norm.running_mean, norm.running_var))
    scale = 1 / np.sqrt(variance + norm.eps)
    scale *= 1 if norm.weight is None else array_of(norm.weight)
    shift = -mean * scale if bias is None else (bias - mean) * scale
    shift += 0 if norm.bias is None else array_of(norm.bias)
    rest = (1,) * (weight.ndim - 2)
    if layer.transposed:  # (inputs, outputs / groups, ...): each group of inputs has outputs of its own
        factors = np.repeat(scale.reshape(layer.groups, -1), weight.shape[0] // layer.groups, axis=0).reshape(
            *weight.shape[:2], *rest
        )
    else:
        factors = scale.reshape(-1, 1, *rest)
    return (weight * factors).astype(weight.dtype), shift.astype(weight.dtype)


class Program:
    """The steps of a model, and what they depend on."""

    def __init__(self, root: nn.Module) -> None:
        graph = traced(root)
        modules = dict(root.named_modules(remove_duplicate=False))
        nodes = list(graph.nodes)
        self.slots = {node: number for number, node in enumerate(nodes)}
        self.inputs = [self.slots[node] for node in nodes if node.op == "placeholder"]
        self.chains = chains(graph, modules)
        self.fused = [Fused(root, chain, self.slots) for chain in self.chains]
        self.steps: list[tuple[Any, tuple[int, ...]]] = []
        self._arrange(root, nodes, modules)
        self._remember(list(modules.values()))

    def _arrange(self, root: nn.Module, nodes: list[fx.Node], modules: dict[str, nn.Module]) -> None:
        """Make the steps, each with the places of the values that nobody needs after it."""
        last = {chain.nodes[-1]: step for chain, step in zip(self.chains, self.fused, strict=True)}
        inside = {node for chain in self.chains for node in chain.nodes}
        made: list[tuple[fx.Node, Any]] = []
        for node in nodes:
            if node in last:
                made.append((node, last[node]))
            elif node.op == "output":
                self.output = fx.node.map_arg(node.args[0], lambda one: _Slot(self.slots[one]))
            elif node.op != "placeholder" and node not in inside:
                made.append((node, _step(root, node, self.slots, modules)))
        # A value dies with the step that has its last reader; a chain reads what its first node does, at its end.
        stands = {node: at for at, (node, _) in enumerate(made)}
        for chain in self.chains:
            stands |= dict.fromkeys(chain.nodes, stands[chain.nodes[-1]])
        dying: list[list[int]] = [[] for _ in made]
        for node in nodes:
            readers = [stands.get(user) for user in node.users]
            if readers and None not in readers:
                dying[max(at for at in readers if at is not None)].append(self.slots[node])
        self.steps = [(step, tuple(dead)) for (_, step), dead in zip(made, dying, strict=True)]

    def _remember(self, modules: list[nn.Module]) -> None:
        """Keep what must be the same in later calls: modules, their hooks, what they hold, its versions."""
        self._modules = modules
        self._hooks = [getattr(one, name) for one in modules if untouched(one)
                       for name in ("_forward_hooks", "_forward_pre_hooks")]  # fmt: skip
        families = [one._modules for one in modules if one._modules]  # noqa: SLF001
        holding = [kept for step in self.fused for one in (step.layer, step.norm) if one is not None
                   for kept in (one._parameters, one._buffers) if kept]  # fmt: skip  # noqa: SLF001
        self._families = [*families, *holding]
        self._members = list(chained.from_iterable(map(dict.values, self._families)))
        held = (one for step in self.fused for one in step.held())
        self._held = list({id(one): one for one in held}.values())
        # Whether PyTorch counts what is written to them, and what it counted.
        self._counted = versions(self._held) is not None
        self._state: Any = ()

    def holds(self) -> bool:
        """Tell whether the model is what was traced, and in inference; note which weights were written."""
        members = list(chained.from_iterable(map(dict.values, self._families)))
        if (
            not self._counted
            or len(members) != len(self._members)
            or not all(map(operator.is_, members, self._members))
            or any(self._hooks)
            or any([one.training for one in self._modules])  # noqa: C419 - twice as quick as a generator
        ):
            return False
        state = [one._version for one in self._held], [one.data_ptr() for one in self._held]  # noqa: SLF001
        if state != self._state:
            for step in self.fused:
                step.renew()
            self._state = state
        return True

    def run(self, inputs: tuple[Tensor, ...]) -> Any:
        """Return what the model gives."""
        values: Values = [None] * len(self.slots)
        for slot, x in zip(self.inputs, inputs, strict=True):
            values[slot] = x
        promise = torch.get_float32_matmul_precision()
        for step, dead in self.steps:
            step.run(values, promise)
            for slot in dead:
                values[slot] = None
        return _filled(self.output, values)


def _step(root: nn.Module, node: fx.Node, slots: dict[fx.Node, int], modules: dict[str, nn.Module]) -> Any:
    """Return the step of a node that is in no chain."""
    plain = Plain(root, node, slots)
    x = node.args[0] if node.args else None
    if not isinstance(x, fx.Node):
        return plain
    if (
        node.op == "call_module"
        and isinstance(modules[str(node.target)], NOTHING)
        and untouched(modules[str(node.target)])
    ):
        return Same(slots[x], slots[node])
    keep = mean_of(node)
    if keep is not None:
        return Computed(partial(_mean, keep=keep), plain, slots[x])
    words = None if _in_place(node, modules) else activation_of(node, modules)
    if words is not None:
        name, *parameters = words
        function = getattr(activation, name)
        return Computed(lambda array: function(array, *parameters), plain, slots[x])
    pooled = pooling_of(node, modules)
    if pooled is not None:
        return Computed(partial(pooled[0], **pooled[1]), plain, slots[x])
    return plain


def _mean(x: Array, *, keep: bool) -> Array | None:
    """Return the mean of every plane of images, or None of anything else."""
    if x.ndim != 4 or 0 in x.shape:
        return None
    found = adaptive_pooling.adaptive_avg_pool2d(x, 1)
    return found if keep else found.reshape(found.shape[:2])


def _in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "_")
    return name.endswith("_") or any(one is True for one in (*node.args[1:], node.kwargs.get("inplace")))
