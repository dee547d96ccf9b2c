"""Which algorithm may serve which problem, and why not: stated once.

The reasons are what a user reads, in a plan and in the error that answers an algorithm asked for in vain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from striderule.geometry.gradients import WeightGradient
from striderule.geometry.pooling import AdaptivePooling, FractionalPooling, Pooling, Unpooling
from striderule.geometry.problem import Convolution, TransposedConvolution, Unfold
from striderule.planning import dots, passes
from striderule.planning.forms import KernelForm
from striderule.planning.interleaved import steps_of
from striderule.planning.machine import Machine
from striderule.planning.phases import interleaves
from striderule.planning.planes import MASKS
from striderule.planning.runs import joined
from striderule.planning.spectra import POINTS, SIZES, tiling
from striderule.planning.transforms import SPECTRA, spectra_bytes
from striderule.planning.winograd import VARIANTS

PRECISIONS = ("highest", "high", "medium")
# The promise on the error of float32 sums: of the norm of the exact result for zero-mean random data, and of the norm
# of |x| correlated with |w| for any finite data.
PROMISES = {"highest": (1e-6, 1e-5), "high": (1e-5, 5e-5), "medium": (5e-3, 1e-2)}
# What float64 sums keep for zero-mean random data, whatever the precision.
WIDE = 1e-14
# Below so many multiply-adds (of one image) the products are always those of the definition, so that small examples
# show the digits that people expect.
SMALL = 100_000

# What one image may take beside its operands and result, unless an algorithm is asked for by name.
WORKSPACE = 64 << 20

# The arithmetic that generated convolutions know.
ARITHMETIC = ("float32", "float64", "int64", "complex64", "complex128")

# The arithmetic of generated image filters.
SUMS = ("float32", "float64", "int32", "int64")

# Channels of a group that `depthwise` serves, and phases of a transposed convolution: each is a call of its own.
FEW, PHASES = 8, 8
# Pairs of channels of a group whose weights' gradients `depthwise` sums plane by plane: each has sums of its own.
PAIRS = 64

# The most taps of an axis that `winograd` transforms, and of all axes; the fewest channels of a group, in and out, that
# it serves.
TAPS, ALL_TAPS, TILED = 7, 128, 4
# The most parts of a dilated image, all of which are tiled as the largest is.
PARTS = 64

POOLINGS = (Pooling, AdaptivePooling, FractionalPooling, Unpooling)
# The norms of pooling that take no power of any exponent.
NORMS = (None, 1.0, 2.0, math.inf, -math.inf)


@dataclass(frozen=True, slots=True)
class Rule:
    """What an algorithm is and what it may serve.

    `cannot` answers why it cannot serve a problem on a machine, or None where it can. `only_asked` is why it never
    offers itself, or None. `reordered` says that it forms other products than the definition (transforms, splits): it
    may err more than the definition's sums, and never serves small problems. `variants` are the words for the ways in
    which it can do that (tiles, parts), which differ in cost and in error; its cost function gives one cost for each
    that can serve a problem, and its functions take the word as ``variant=``. `resort` says that it serves where
    nothing else does, so that its workspace is taken as it comes.
    """

    describes: str
    cannot: Callable[[Any, Machine], str | None]
    only_asked: str | None = None
    reordered: bool = False
    variants: tuple[str, ...] = ()
    resort: bool = False

    def declines(self, problem: Any, machine: Machine) -> str | None:
        """Return why it is not to be chosen, or None where it may be."""
        reason = self.cannot(problem, machine) or self.only_asked
        if (
            reason is None
            and self.reordered
            and _is_float(problem)
            and not _is_passes(problem)
            and multiply_adds_of_one(problem) < SMALL
        ):
            reason = f"problems under {SMALL:,} multiply-adds are computed by the definition's own products"
        return reason


def _is_float(problem: Any) -> bool:
    """Tell whether sums are rounded, so that other products make other digits."""
    return not str(getattr(problem, "dtype", "float")).startswith("int")


def _is_passes(problem: Any) -> bool:
    """Tell whether a filter is defined as passes along its axes."""
    form = getattr(problem, "form", None)
    return isinstance(form, KernelForm) and form.given


def multiply_adds_of_one(problem: Any) -> int:
    """Return the multiply-adds of one image: what may decide, since the batch may not."""
    if isinstance(problem, WeightGradient):
        problem = problem.plain
    if hasattr(problem, "batch"):
        return int(replace(problem, batch=1).multiply_adds)
    batch = problem.output_shape[0]
    return int(problem.multiply_adds) // batch if batch else 0


def keeps_promise(precision: str, dtype: str, error: float, random_error: float) -> str | None:
    """Return why errors are too large for the precision asked for, or None.

    `error` is the bound for any finite data, of the norm of |x| * |w|; `random_error` is that of zero-mean random data,
    of the norm of the exact result. The three words are about float32; float64 keeps its own promise under each, and
    integers are exact.
    """
    if dtype == "float32":
        random, bound = PROMISES[precision]
        if error > bound:
            why = f"more than the {bound:.0e} that {precision!r} promises"
            return f"its error may reach {error:.1e} of |x| * |w|, {why}"
        if random_error > random:
            why = f"more than the {random:.0e} that {precision!r} promises"
            return f"its error on random data is {random_error:.1e}, {why}"
    elif dtype == "float64" and random_error > WIDE:
        return f"its error on random data is {random_error:.1e}, and float64 keeps {WIDE:.0e}"
    elif error and not dtype.startswith(("float", "complex")):
        return f"its error may reach {error:.1e} of |x| * |w|, and integers are exact"
    return None


def takes_too_much(rule: Rule, workspace: int) -> str | None:
    """Return why a workspace for one image, in bytes, is too large to be taken unasked, or None."""
    if rule.resort or workspace <= WORKSPACE:
        return None
    most = WORKSPACE >> 20
    return f"its workspace would be {-(-workspace // 2**20):,} MiB, and {most} MiB is the most unless it is asked for"


NO_CODE = "it is generated machine code, which this installation cannot make (llvmlite is missing or fails)"
COUNTS_TAPS = "it counts every tap, and in images a tap of zero contributes nothing"


def _anything(_: Any, __: Machine) -> str | None:
    return None


def _pooling(problem: Pooling | AdaptivePooling | FractionalPooling | Unpooling) -> str | None:
    if isinstance(problem, Unpooling):
        return "it takes values out of windows, and this puts them back"
    if problem.rank > 3:
        return f"it pools up to three axes, and this has {problem.rank}"
    if isinstance(problem, Pooling) and problem.norm not in NORMS:
        return f"it computes the norms 1, 2 and infinity, and this is {problem.norm:g}"
    return None


def _direct(problem: Any, machine: Machine) -> str | None:
    if not machine.generated:
        return NO_CODE
    if isinstance(problem, POOLINGS):
        return _pooling(problem)
    if isinstance(problem, Unfold):
        return None
    if isinstance(problem, WeightGradient):
        return None if problem.dtype in ("float32", "float64") else f"it sums float32 and float64, not {problem.dtype}"
    if not isinstance(problem, Convolution | TransposedConvolution):
        return "it serves dense and transposed convolutions of layers, and this is another operation"
    if isinstance(problem, Convolution) and problem.zero_taps == "skip":
        return COUNTS_TAPS
    if problem.dtype not in ARITHMETIC:
        return f"it computes in {', '.join(ARITHMETIC)}, and this needs {problem.dtype}"
    return None


def _depthwise(problem: Any, machine: Machine) -> str | None:
    if not machine.generated:
        return NO_CODE
    if isinstance(problem, TransposedConvolution):
        return _transposed_depthwise(problem, machine)
    if isinstance(problem, WeightGradient):
        return _depthwise_weights(problem)
    if not isinstance(problem, Convolution):
        return "it serves convolutions of layers, and this is another operation"
    if problem.zero_taps == "skip":
        return COUNTS_TAPS
    if problem.groups == 1 and problem.in_channels > 1:
        return "it is for channels in groups, and here every output sees all of them"
    if problem.in_channels > FEW * problem.groups:
        return f"it is for at most {FEW} channels a group, and this has {problem.in_channels // problem.groups}"
    if problem.dtype not in ("float32", "float64"):
        return f"it computes in float32 and float64, and this needs {problem.dtype}"
    return None


def _transposed_depthwise(problem: TransposedConvolution, machine: Machine) -> str | None:
    grouped = problem.groups > 1 and machine.name in MASKS and interleaves(problem)
    if problem.in_channels > problem.groups and not grouped:
        return f"it transposes channels by themselves, and here {problem.in_channels // problem.groups} are in a group"
    if max(problem.dilation) > 1:
        return "it transposes kernels without dilation"
    if any(k < s for k, s in zip(problem.kernel, problem.stride, strict=True)) or prod(problem.stride) > PHASES:
        return f"it serves strides up to the kernel's size, and {PHASES} phases, and here they are {problem.stride}"
    if problem.dtype not in ("float32", "float64"):
        return f"it computes in float32 and float64, and this needs {problem.dtype}"
    return None


def _depthwise_weights(problem: WeightGradient) -> str | None:
    plain = problem.plain
    per_group = plain.in_channels // plain.groups, plain.out_channels // plain.groups
    if prod(per_group) > PAIRS:
        return f"it is for at most {PAIRS} pairs of channels a group, and this has {per_group[0]} x {per_group[1]}"
    if problem.dtype not in ("float32", "float64"):
        return f"it sums float32 and float64, not {problem.dtype}"
    return None


def _dots(problem: Any, machine: Machine) -> str | None:
    if not machine.generated:
        return NO_CODE
    if not isinstance(problem, Convolution):
        return "it serves convolutions of layers, and this is another operation"
    if problem.zero_taps == "skip":
        return COUNTS_TAPS
    return dots.refused(problem, machine)


def _fourier(problem: Any, machine: Machine) -> str | None:
    images = isinstance(problem, Convolution) and problem.zero_taps == "skip"
    if not isinstance(problem, Convolution) or problem.rank > 1 + images:
        return "it is for convolutions along a single axis, and of images along two"
    if _is_passes(problem):
        return "it takes kernels, and this filter is given as passes"
    if max(problem.stride) > 1:
        return f"it computes every output, and here the stride is {'x'.join(map(str, problem.stride))}"
    if problem.dtype not in ("float32", "float64"):
        return f"it transforms float32 and float64, and this needs {problem.dtype}"
    if 0 in problem.output_shape or problem.terms == 0:
        return "it transforms signals, and here is none"
    if problem.rank == 2:
        return _planes(problem, machine)
    if spectra_bytes(problem) > SPECTRA:
        return f"the transforms of the taps would take more than {SPECTRA >> 20} MiB"
    return None


def _planes(problem: Convolution, machine: Machine) -> str | None:
    """Return why `fourier` cannot serve an image."""
    if not machine.generated:
        return NO_CODE
    if problem.stored[:1] == ("bool",):
        return "what is counted where nothing is must be zero, and spectra leave a trace of all there is in a tile"
    if tiling(problem, machine.lanes(problem.dtype), machine.registers) is None:
        return f"its tiles hold kernels of up to {SIZES[-1]} taps along an axis, and {POINTS:,} in all"
    return None


def _winograd(problem: Any, machine: Machine) -> str | None:
    if not machine.generated:
        return NO_CODE
    weights = isinstance(problem, WeightGradient)
    if isinstance(problem, WeightGradient):
        if problem.plain.kernel[-2:] != (3, 3):
            return f"it sums gradients of kernels of 3x3, and this has {'x'.join(map(str, problem.plain.kernel))}"
        problem = problem.plain
    if not isinstance(problem, Convolution):
        return "it serves convolutions of layers, and this is another operation"
    if problem.zero_taps == "skip":
        return COUNTS_TAPS
    problem = problem if weights else joined(problem)
    if problem.dtype != "float32":
        return f"it transforms float32, and this needs {problem.dtype}"
    if max(problem.stride[-2:]) > 1:
        return f"it computes every output, and here the stride is {'x'.join(map(str, problem.stride))}"
    apart = _apart(problem, weights)
    if apart is not None:
        return apart
    if not 2 <= max(problem.kernel[-2:]) <= TAPS:
        return f"it is for kernels of 2 to {TAPS} taps, and this has {'x'.join(map(str, problem.kernel))}"
    if prod(problem.kernel) > ALL_TAPS:
        return f"it is for kernels of up to {ALL_TAPS} taps in all, and this has {prod(problem.kernel)}"
    if problem.in_channels < TILED * problem.groups or problem.out_channels < TILED * problem.groups:
        return f"its vectors run along channels, of which it needs {TILED} a group on both sides"
    if 0 in problem.output_size:
        return "it transforms images, and here is none"
    return None


def _apart(problem: Convolution, weights: bool) -> str | None:
    """Return why `winograd` cannot serve a dilation: as dense parts, which are interleaved."""
    steps = steps_of(problem)
    if max(steps) == 1:
        return None
    if weights:
        return "its tiles are made of neighbours: the dilation must be 1"
    words = {word for pair in problem.boundary for word in pair}
    if words != {"constant"}:
        return (
            f"the parts of a dilated image know nothing of each other, and here {', '.join(sorted(words))} is outside"
        )
    if prod(steps) > PARTS or any(step > n for step, n in zip(steps, problem.size, strict=True)):
        return f"it takes a dilated image apart into up to {PARTS} parts, none of them empty"
    return None


def _stencil(problem: Any, machine: Machine) -> str | None:
    if not machine.generated:
        return NO_CODE
    if not isinstance(problem, Convolution) or problem.zero_taps == "count":
        return "it filters images, and this is another operation"
    if problem.dtype not in SUMS:
        return f"it computes in {', '.join(SUMS)}, and this needs {problem.dtype}"
    if _is_passes(problem):
        return "its kernel was given as a profile for each axis, and passes along them are its definition"
    return None


def _separable(problem: Any, machine: Machine) -> str | None:
    if not machine.generated:
        return NO_CODE
    if not isinstance(problem, Convolution) or problem.zero_taps == "count":
        return "it filters images, and this is another operation"
    return passes.refused(problem)


# In order of preference where predictions are equal.
RULES: dict[str, Rule] = {
    "stencil": Rule("every tap that is not zero, rows shared in registers, in generated machine code", _stencil),
    "depthwise": Rule("the products of the definition plane by plane, in generated machine code", _depthwise),
    "direct": Rule("every product of the definition, in generated machine code", _direct),
    "dots": Rule(
        "products of narrow numbers, several an instruction, in generated machine code",
        _dots,
        reordered=True,
        variants=tuple(dots.PRODUCTS),
    ),
    "winograd": Rule(
        "fewer products of transformed tiles, in generated machine code",
        _winograd,
        reordered=True,
        variants=tuple(VARIANTS),
    ),
    "separable": Rule(
        "a pass along each axis for every outer product of the kernel, in generated machine code",
        _separable,
        reordered=True,
        variants=passes.VARIANTS,
    ),
    "fourier": Rule("blocks or tiles multiplied as spectra, by fast Fourier transforms", _fourier, reordered=True),
    "windows": Rule("strided views and tensor products in NumPy", _anything, resort=True),
    "reference": Rule(
        "the definition as plain loops",
        _anything,
        only_asked="it is the oracle: thousands of times slower, so it runs only when asked for by name",
    ),
}
