"""What competes: the ways to compute one shape, and how to see that all of them compute the same."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import striderule as sr
from benchmarks.shapes import Shape
from striderule.planning.rules import PROMISES

Array = np.ndarray[Any, np.dtype[Any]]
OURS = "striderule"
PEERS = {"torch": "PyTorch", "scipy.ndimage": "SciPy", "cv2": "OpenCV"}
# Who is further than this from the exact result computes something else.
SAME = 1e-3


@dataclass(frozen=True, slots=True)
class Way:
    """A call that computes a shape, and how its result is seen as an array (which is not timed)."""

    call: Callable[[], Any]
    array: Callable[[Any], Array] = np.asarray


@dataclass(frozen=True, slots=True)
class Setting:
    """Who takes part, by the name of the module, and how: `compiled` with everything bound and packed before.

    `channels_last` gives us our arrays in that order of memory; the peers are measured in both anyway. `precision` is
    what our results promise.
    """

    peers: dict[str, Any] = field(default_factory=dict)
    compiled: bool = False
    channels_last: bool = False
    precision: str = "highest"

    def same(self, dtype: str) -> float:
        """Return the error up to which results are the same: that of the type, or what the precision promises."""
        if dtype == "bfloat16":
            return 2.0**-7
        return PROMISES[self.precision][1] if self.precision == "medium" and dtype == "float32" else SAME

    @property
    def torch(self) -> Any:
        """PyTorch, or None."""
        return self.peers.get("torch")


@dataclass(frozen=True, slots=True)
class Contest:
    """The ways, ours first; the exact result, or that part of it that `pick` picks; the error that is still the same.

    The error is the norm of the difference, divided by the norm of the exact result.
    """

    ways: dict[str, Way]
    exact: Array
    pick: Callable[[Array], Array] = np.asarray
    same: float = SAME

    def errors(self) -> dict[str, float]:
        """Return the error of every way; an error of a whole result against ours stops the run.

        Raises
        ------
        ValueError
            If the ways do not compute the same.
        """
        ours = self.ways[OURS].array(self.ways[OURS].call())
        found = {}
        for name, way in self.ways.items():
            whole = ours if name == OURS else way.array(way.call())
            if whole.shape != ours.shape:
                raise ValueError(f"{name} gives the shape {whole.shape}, and striderule {ours.shape}")
            apart = relative(whole, ours)
            found[name] = relative(self.pick(whole), self.exact)
            if not max(apart, found[name]) <= self.same:
                raise ValueError(f"{name} is {found[name]:.1e} from the exact result and {apart:.1e} from striderule")
        return found


def relative(result: Array, exact: Array) -> float:
    """Return the norm of the difference, divided by that of the exact result."""
    wide = np.result_type(result, exact, np.float64)
    norm = np.linalg.norm(exact.astype(wide).ravel().astype(np.float64))
    difference = (result.astype(wide) - exact.astype(wide)).ravel()
    return float(np.linalg.norm(difference.astype(np.float64)) / (norm or 1.0))


def installed() -> dict[str, Any]:
    """Return the peers that are here: name of the module -> module, or None."""
    found: dict[str, Any] = {}
    for name in PEERS:
        try:
            found[name] = importlib.import_module(name)
        except ImportError:
            found[name] = None
    return found


def share_threads(peers: dict[str, Any], threads: int) -> None:
    """Let us and every peer that can be told use so many threads."""
    sr.set_num_threads(threads)
    if peers.get("torch") is not None:
        peers["torch"].set_num_threads(threads)
    if peers.get("cv2") is not None:
        peers["cv2"].setNumThreads(threads)


def drawn(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Return random numbers: never zeros or denormals, whose products some processors finish sooner or later.

    Integers take a sixteenth of their range (a type's whole range for 8 bits), so that no sum is beyond 32 bits.
    """
    rng = np.random.default_rng(seed)
    if dtype == "bfloat16":
        return rng.standard_normal(shape, dtype=np.float32).astype(bfloat16())
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.standard_normal(shape, dtype=kind.type)
    limits = np.iinfo(kind)
    part = 1 if kind.itemsize == 1 else 256
    return rng.integers(limits.min // part, limits.max // part + 1, shape, kind)


def bfloat16() -> np.dtype[Any]:
    """Return the type, which needs ml_dtypes."""
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16)


def tensor(torch: Any, array: Array, dtype: str) -> Any:
    """Return an array as a tensor of a type; the bits of bfloat16 go by integers, since NumPy knows no such type."""
    if dtype == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array.astype(dtype))


def operands(shape: Shape) -> tuple[Array, Array]:
    """Return data and weights for a shape; no weights are an empty array."""
    weight_shape = shape.weight_shape or (0,)
    return drawn(shape.input_shape, shape.dtypes[0], 0), drawn(weight_shape, shape.dtypes[1], 1)


def ordered(x: Array, channels_last: bool) -> Array:
    """Return the array (batch, channels, *size), with the memory of its channels last where asked for."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if channels_last and x.ndim > 2 else x


def ours(setting: Setting, op: Callable[..., Any], x: Array, *rest: Any, out: Array | None = None, **words: Any) -> Way:
    """Return our way: the plain call, or the compiled one."""
    if setting.compiled:
        bound = sr.compile(op, x, *rest, **words)
        return Way((lambda: bound(x)) if out is None else (lambda: bound(x, out=out)))
    return Way((lambda: op(x, *rest, **words)) if out is None else (lambda: op(x, *rest, out=out, **words)))


def formats(torch: Any, rank: int) -> dict[str, Any]:
    """Return PyTorch's orders of memory for so many spatial axes: what to add to the name -> order."""
    last = {2: torch.channels_last, 3: torch.channels_last_3d}
    plain = {"": torch.contiguous_format}
    return plain | {" channels last": last[rank]} if rank in last else plain
