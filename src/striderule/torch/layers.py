"""Layers that take the places of PyTorch's: the same parameters, names and hooks, computed by striderule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from striderule.functional import activation, adaptive_pooling, convolution, pooling, transposed
from striderule.functional.compiled import Compiled
from striderule.functional.compiled import compile as compiled
from striderule.functional.precision import precision as held_precision
from striderule.torch import functional
from striderule.torch.elements import OPERATORS
from striderule.torch.operators import array_of, output_like

# Shapes of inputs that weights are packed for; the eldest goes.
MOST = 4


def is_plain(x: Any) -> bool:
    """Tell whether an operand is no more than numbers: no tracing, no tensor of another kind or place."""
    return (
        type(x) in (Tensor, nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not x.is_conj()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch.is_autocast_enabled("cpu")
    )


def _plainly(module: nn.Module, x: Tensor) -> bool:
    """Tell whether a call is no more than numbers in and out, without gradients."""
    return is_plain(x) and not (
        torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in module.parameters()))
    )


def untouched(module: nn.Module) -> bool:
    """Tell whether calling a module is calling its `forward`, without hooks around it."""
    return not (module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)  # noqa: SLF001


def plain_type(module: nn.Module) -> type[nn.Module]:
    """Return the class of PyTorch's that a layer has, or had before it was replaced."""
    kind = type(module)
    return kind.__bases__[1] if kind in REPLACED.values() else kind


def versions(held: list[Tensor]) -> tuple[int, ...] | None:
    """Return what changes when tensors are written, or None where PyTorch does not count that."""
    if any(one.is_inference() for one in held):
        return None
    return (*[one.data_ptr() for one in held], *[one._version for one in held])  # noqa: SLF001 - the counter of writes


class _Convolving:
    """What replaced convolutions share. Weights are packed once for a shape, until PyTorch says that they changed."""

    transposed: ClassVar[bool] = False

    def forward(self: Any, x: Tensor, *rest: Any) -> Tensor:
        """Return what the layer gave before, to rounding."""
        if (rest and rest[0] is not None) or torch.is_autocast_enabled("cpu"):
            return super().forward(x, *rest)  # type: ignore[misc]  # of PyTorch's layer
        held = [one for one in (self.weight, self.bias) if one is not None]
        state = versions(held) if _plainly(self, x) and self.weight.dtype == x.dtype else None
        if state is None:
            return self._by_operator(x)
        image = array_of(x)
        promise = torch.get_float32_matmul_precision()
        key = (x.shape, x.stride(), x.dtype, promise)
        packed: dict[Any, tuple[Any, Compiled]] = self.__dict__.setdefault("_packed", {})
        known = packed.get(key)
        if known is None or known[0] != state:
            if known is None and len(packed) >= MOST:
                packed.pop(next(iter(packed)), None)
            with held_precision(promise):
                known = packed[key] = (state, self._compiled(image))
        out = output_like(x, self._shape(x)) if x.ndim == self._rank + 2 else None
        if out is None:
            return torch.from_numpy(np.ascontiguousarray(known[1](image)))
        known[1](image, out=array_of(out))
        return out

    @property
    def _rank(self: Any) -> int:
        return len(self.kernel_size)

    def _words(self: Any) -> dict[str, Any]:
        return words_of(self)

    def _compiled(self: Any, image: np.ndarray[Any, Any]) -> Compiled:
        bias = None if self.bias is None else array_of(self.bias)
        return compiled(function_of(self), image, array_of(self.weight), bias, **self._words())

    def _shape(self: Any, x: Tensor) -> tuple[int, ...]:
        known: dict[Any, tuple[int, ...]] = self.__dict__.setdefault("_shapes", {})
        if x.shape not in known:
            if len(known) >= MOST:
                known.pop(next(iter(known)), None)
            with torch.no_grad():
                known[x.shape] = tuple(self._by_operator(x.to("meta"), self.weight.to("meta"), None).shape)
        return known[x.shape]

    def _by_operator(self: Any, x: Tensor, weight: Tensor | None = None, bias: Any = ...) -> Tensor:
        weight, bias = self.weight if weight is None else weight, self.bias if bias is ... else bias
        name = f"conv_transpose{self._rank}d" if self.transposed else f"conv{self._rank}d"
        found: Tensor = getattr(functional, name)(x, weight, bias, **self._words())
        return found

    def __getstate__(self: Any) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_packed", "_shapes")}


def words_of(layer: Any) -> dict[str, Any]:
    """Return the words of a convolution from those of PyTorch's layer."""
    words = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
    return words | ({"output_padding": layer.output_padding} if layer.transposed else {})


def function_of(layer: Any) -> Callable[..., Any]:
    """Return the function that computes a convolution of PyTorch's."""
    where, name = (transposed, "conv_transpose") if layer.transposed else (convolution, "conv")
    found: Callable[..., Any] = getattr(where, f"{name}{len(layer.kernel_size)}d")
    return found


class _Computing:
    """What replaced poolings and activations share: a function of striderule, and its words from the layer's."""

    compute: ClassVar[Callable[..., Any]]
    names: ClassVar[tuple[str, ...]] = ()

    def forward(self: Any, x: Tensor) -> Tensor:
        """Return what the layer gave before; in place, and while compiling, by PyTorch itself."""
        if not is_plain(x) or any(getattr(self, name, False) for name in ("inplace", "return_indices")):
            return super().forward(x)  # type: ignore[misc]  # of PyTorch's layer
        words = {name: getattr(self, name) for name in self.names}
        if torch.is_grad_enabled() and x.requires_grad:
            if isinstance(size := words.get("output_size"), tuple):  # None keeps the size
                words["output_size"] = [
                    n if n is not None else x.shape[axis - len(size)] for axis, n in enumerate(size)
                ]
            found: Tensor = OPERATORS[type(self).compute.__name__](x, *words.values())
            return found
        return torch.from_numpy(type(self).compute(array_of(x), **words))


def refused(module: nn.Module) -> str | None:
    """Return why a layer stays PyTorch's, or None."""
    mode = getattr(module, "padding_mode", "zeros")
    if mode != "zeros":
        return f"padding_mode={mode!r}"
    if getattr(module, "divisor_override", None) is not None:
        return "divisor_override"
    if getattr(module, "return_indices", False):
        return "return_indices"
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.device.type != "cpu":
        return f"it is on {weight.device}"
    return None


def _convolving(base: type[nn.Module], *, transposed: bool = False) -> type[nn.Module]:
    return type(base.__name__, (_Convolving, base), {"transposed": transposed, "__module__": __name__})


def _computing(base: type[nn.Module], compute: Callable[..., Any], *names: str) -> type[nn.Module]:
    return type(base.__name__, (_Computing, base), {"compute": staticmethod(compute), "names": names})


_WINDOW = ("kernel_size", "stride", "padding")
# Layers of PyTorch's: the function of striderule, and the layer's attributes that are its words.
POOLINGS: dict[type[nn.Module], tuple[Any, ...]] = {}
for _n in (1, 2, 3):
    POOLINGS |= {
        getattr(nn, f"MaxPool{_n}d"): (getattr(pooling, f"max_pool{_n}d"), *_WINDOW, "dilation", "ceil_mode"),
        getattr(nn, f"AvgPool{_n}d"): (getattr(pooling, f"avg_pool{_n}d"), *_WINDOW, "ceil_mode", "count_include_pad"),
        getattr(nn, f"AdaptiveAvgPool{_n}d"): (getattr(adaptive_pooling, f"adaptive_avg_pool{_n}d"), "output_size"),
    }
# The same of activations, by the name of the function.
ACTIVATIONS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.ReLU: ("relu",), nn.ReLU6: ("relu6",), nn.LeakyReLU: ("leaky_relu", "negative_slope"), nn.ELU: ("elu", "alpha"),
    nn.GELU: ("gelu", "approximate"), nn.SiLU: ("silu",), nn.Mish: ("mish",), nn.Hardswish: ("hardswish",),
    nn.Hardsigmoid: ("hardsigmoid",), nn.Sigmoid: ("sigmoid",), nn.Tanh: ("tanh",),
}  # fmt: skip
# Layers of PyTorch's, and what takes their places.
REPLACED: dict[type[nn.Module], type[nn.Module]] = {
    **{base: _convolving(base) for base in (nn.Conv1d, nn.Conv2d, nn.Conv3d)},
    **{
        base: _convolving(base, transposed=True)
        for base in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    },
    **{base: _computing(base, *told) for base, told in POOLINGS.items()},
    **{base: _computing(base, getattr(activation, name), *told) for base, (name, *told) in ACTIVATIONS.items()},
}

# Pickles name classes by the module that holds them.
globals().update({other.__name__: other for other in REPLACED.values()})
