"""`accelerate`: a PyTorch model whose convolutions, poolings and activations are computed by striderule on the CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from striderule.errors import InvalidType
from striderule.torch.layers import REPLACED, refused
from striderule.torch.whole import wrapped

# Rounds of a measurement; the best counts.
ROUNDS = 5


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
        Names of layers that were not, with the reason.
    fused
        Names of convolutions that take what follows them along, in inference, with its names.
    seconds
        Of a call with the example before and after; None without an example.
    difference
        Largest difference of the outputs, over the largest output; None without an example.
    """

    model: nn.Module
    replaced: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    fused: dict[str, list[str]] = field(default_factory=dict)
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
        if self.fused:
            lines.append(
                f"fused: what follows {len(self.fused)} convolutions ({sum(map(len, self.fused.values()))} steps)"
            )
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

    In inference (``eval()``, without gradients) a model whose ``forward`` `torch.fx` can trace runs as a list of steps:
    a convolution takes along the batch normalisation, the addition and the activation behind it. What cannot be traced
    runs as it is, and so does every layer with hooks; parts that can be traced still are. What ``forward`` decides by
    attributes of its own, by anything but tensors and ``training``, is decided when it is traced: call `accelerate`
    again after changing such an attribute.

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
    fused: what follows 1 convolutions (1 steps)
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
        reason = refused(module)
        if reason is None:
            module.__class__ = other
            report.replaced[name] = other.__name__
        else:
            report.kept[name] = reason
    for name, _, program in wrapped(model):
        for chain in program.chains:
            if chain.followers:
                report.fused[f"{name}.{chain.convolution}" if name else chain.convolution] = chain.followers
    if before is not None:
        after = _measured(model, inputs)
        report.seconds = before[0], after[0]
        largest = float(before[1].abs().max()) if before[1].numel() else 0.0
        report.difference = float((before[1] - after[1]).abs().max()) / (largest or 1.0)
    return report


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
