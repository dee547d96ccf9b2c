"""`accelerate`: a PyTorch model whose convolutions, poolings and activations are computed by striderule on the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from striderule.errors import InvalidType
from striderule.functional import activation, adaptive_pooling, convolution, pooling, transposed
from striderule.functional.compiled import Compiled
from striderule.functional.compiled import compile as compiled
from striderule.functional.precision import precision as held_precision
from striderule.torch import functional
from striderule.torch.operators import array_of, output_like

# Shapes of inputs that weights are packed for; the eldest goes.
MOST = 4
# Rounds of a measurement; the best counts.
ROUNDS = 5


def _plainly(module: nn.Module, x: Tensor) -> bool:
    """Tell whether a call is no more than numbers in and out: no gradients, no tracing, no tensors of other kinds."""
    return (
        type(x) in (Tensor, nn.Parameter)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not torch.compiler.is_compiling()
        and not (torch.is_grad_enabled() and (x.requires_grad or any(p.requires_grad for p in module.parameters())))
    )


class _Convolving:
    """What replaced convolutions share. Weights are packed once for a shape, until PyTorch says that they changed."""

    transposed: ClassVar[bool] = False

    def forward(self: Any, x: Tensor, *rest: Any) -> Tensor:
        """Return what the layer gave before, to rounding."""
        if rest and rest[0] is not None:
            return super().forward(x, *rest)  # type: ignore[misc]  # of PyTorch's layer
        if not _plainly(self, x) or self.weight.dtype != x.dtype:
            return self._by_operator(x)
        image = array_of(x)
        promise = torch.get_float32_matmul_precision()
        held = [one for one in (self.weight, self.bias) if one is not None]
        state = tuple((one.data_ptr(), one._version) for one in held)  # noqa: SLF001 - what PyTorch counts writes by
        key = (x.shape, x.stride(), x.dtype, promise)
        packed: dict[Any, tuple[Any, Compiled]] = self.__dict__.setdefault("_packed", {})
        known = packed.get(key)
        if known is None or known[0] != state:
            if known is None and len(packed) >= MOST:
                packed.pop(next(iter(packed)))
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
        words = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        return words | ({"output_padding": self.output_padding} if self.transposed else {})

    def _compiled(self: Any, image: np.ndarray[Any, Any]) -> Compiled:
        bias = None if self.bias is None else array_of(self.bias)
        where, name = (transposed, "conv_transpose") if self.transposed else (convolution, "conv")
        return compiled(getattr(where, f"{name}{self._rank}d"), image, array_of(self.weight), bias, **self._words())

    def _shape(self: Any, x: Tensor) -> tuple[int, ...]:
        known: dict[Any, tuple[int, ...]] = self.__dict__.setdefault("_shapes", {})
        if x.shape not in known:
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


class _Computing:
    """What replaced poolings and activations share: a function of striderule, and its words from the layer's."""

    compute: ClassVar[Callable[..., Any]]
    names: ClassVar[tuple[str, ...]] = ()

    def forward(self: Any, x: Tensor) -> Tensor:
        """Return what the layer gave before; where gradients are wanted, by PyTorch itself."""
        if not _plainly(self, x) or any(getattr(self, name, False) for name in ("inplace", "return_indices")):
            return super().forward(x)  # type: ignore[misc]  # of PyTorch's layer
        words = {name: getattr(self, name) for name in self.names}
        return torch.from_numpy(type(self).compute(array_of(x), **words))


def _convolving(base: type[nn.Module], *, transposed: bool = False) -> type[nn.Module]:
    return type(base.__name__, (_Convolving, base), {"transposed": transposed, "__module__": __name__})


def _computing(base: type[nn.Module], compute: Callable[..., Any], *names: str) -> type[nn.Module]:
    return type(base.__name__, (_Computing, base), {"compute": staticmethod(compute), "names": names})


_POOLED = ("kernel_size", "stride", "padding")
# Layers of PyTorch's, and what takes their places.
REPLACED: dict[type[nn.Module], type[nn.Module]] = {
    **{base: _convolving(base) for base in (nn.Conv1d, nn.Conv2d, nn.Conv3d)},
    **{
        base: _convolving(base, transposed=True)
        for base in (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    },
    **{
        getattr(nn, f"MaxPool{n}d"): _computing(
            getattr(nn, f"MaxPool{n}d"), getattr(pooling, f"max_pool{n}d"), *_POOLED, "dilation", "ceil_mode"
        )
        for n in (1, 2, 3)
    },
    **{
        getattr(nn, f"AvgPool{n}d"): _computing(
            getattr(nn, f"AvgPool{n}d"), getattr(pooling, f"avg_pool{n}d"), *_POOLED, "ceil_mode", "count_include_pad"
        )
        for n in (1, 2, 3)
    },
    **{
        getattr(nn, f"AdaptiveAvgPool{n}d"): _computing(
            getattr(nn, f"AdaptiveAvgPool{n}d"), getattr(adaptive_pooling, f"adaptive_avg_pool{n}d"), "output_size"
        )
        for n in (1, 2, 3)
    },
    nn.ReLU: _computing(nn.ReLU, activation.relu),
    nn.ReLU6: _computing(nn.ReLU6, activation.relu6),
    nn.LeakyReLU: _computing(nn.LeakyReLU, activation.leaky_relu, "negative_slope"),
    nn.ELU: _computing(nn.ELU, activation.elu, "alpha"),
    nn.GELU: _computing(nn.GELU, activation.gelu, "approximate"),
    nn.SiLU: _computing(nn.SiLU, activation.silu),
    nn.Hardswish: _computing(nn.Hardswish, activation.hardswish),
    nn.Sigmoid: _computing(nn.Sigmoid, activation.sigmoid),
    nn.Tanh: _computing(nn.Tanh, activation.tanh),
}


# Pickles name classes by the module that holds them.
globals().update({other.__name__: other for other in REPLACED.values()})


@dataclass
class Report:
    """What `accelerate` did. Printing it tells all.

    Attributes
    ----------
    model
        The model, changed in place.
    replaced
        Names of the layers that were replaced, with the names of their classes.
    kept
        Names of convolutions that were not, with the reason.
    seconds
        Of a call with the example before and after; None without an example.
    difference
        Largest difference of the outputs, over the largest output; None without an example.
    """

    model: nn.Module
    replaced: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    seconds: tuple[float, float] | None = None
    difference: float | None = None

    @property
    def gain(self) -> float | None:
        """How many times as fast the model is."""
        return None if self.seconds is None else self.seconds[0] / self.seconds[1]

    def __str__(self) -> str:
        counts: dict[str, int] = {}
        for kind in self.replaced.values():
            counts[kind] = counts.get(kind, 0) + 1
        lines = ["replaced: " + (", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing")]
        lines += [f"kept {name}: {reason}" for name, reason in self.kept.items()]
        if self.seconds is not None:
            before, after = (1e3 * second for second in self.seconds)
            lines.append(f"time: {before:.2f} ms before, {after:.2f} ms now: {self.gain:.2f} times as fast")
            lines.append(f"largest difference of the outputs: {self.difference:.1e} of the largest output")
        return "\n".join(lines)


def accelerate(model: nn.Module, example: Any = None) -> Report:
    """Let striderule compute the convolutions, poolings and activations of a PyTorch model on the CPU.

    The layers stay where they are, with their parameters, names and hooks: only what computes them changes, so state
    dictionaries, training and copies work as before. Without gradients weights are packed once for each shape of input,
    until PyTorch's version counter says that they were written; writing through ``.data`` goes past that counter, so
    call `accelerate` again afterwards.

    Parameters
    ----------
    model
        Changed in place.
    example
        An input of the model, or a tuple of its inputs, to measure the gain and the difference with. Default: neither
        is measured.

    Returns
    -------
    Report
        What was replaced and what was not, the gain and the largest difference. ``report.model`` is the model.

    Raises
    ------
    InvalidType
        If `model` is no ``torch.nn.Module``.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU()).eval()
    >>> print(accelerate(model))
    replaced: 1 Conv2d, 1 ReLU
    """
    if not isinstance(model, nn.Module):
        raise InvalidType(f"model must be a torch.nn.Module, got {type(model).__name__}")
    inputs = example if isinstance(example, tuple) else (example,)
    before = None if example is None else _measured(model, inputs)
    report = Report(model)
    for name, module in model.named_modules():
        module.__dict__.pop("_packed", None)
        other = REPLACED.get(type(module))
        if other is None:
            continue
        reason = _refused(module)
        if reason is None:
            module.__class__ = other
            report.replaced[name] = other.__name__
        else:
            report.kept[name] = reason
    if before is not None:
        after = _measured(model, inputs)
        report.seconds = before[0], after[0]
        largest = float(before[1].abs().max()) if before[1].numel() else 0.0
        report.difference = float((before[1] - after[1]).abs().max()) / (largest or 1.0)
    return report


def _refused(module: nn.Module) -> str | None:
    """Return why a layer stays as it is, or None."""
    mode = getattr(module, "padding_mode", "zeros")
    if mode != "zeros":
        return f"its padding_mode is {mode!r}"
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.device.type != "cpu":
        return f"it is on {weight.device}"
    return None


def _measured(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[float, Tensor]:
    """Return the best seconds of a call without gradients, and its output."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            output, best = model(*inputs), float("inf")
            for _ in range(ROUNDS):
                start = time.perf_counter()
                model(*inputs)
                best = min(best, time.perf_counter() - start)
    finally:
        model.train(training)
    return best, (output[0] if isinstance(output, tuple) else output).detach().clone()
