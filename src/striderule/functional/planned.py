"""From a plan to its algorithm: the one way down, and `explain`, which goes it without computing.

Every function that has a choice among algorithms gets its plan from `plan_for` and hands it to `perform`. Under
`explain` the same functions run, with all their checks; only `perform` notes the plan and answers with a stand-in for
the result.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from striderule.algorithms import table
from striderule.algorithms.direct import giving_way
from striderule.codegen import rates, target, workers
from striderule.errors import CompilationFailed, InvalidArgument, InvalidType
from striderule.functional import door
from striderule.functional.precision import standing
from striderule.functional.standin import StandIn, stand_in
from striderule.geometry.arguments import check_count, integer, is_sequence
from striderule.planning import Machine, Plan, Plans, choose

# What `perform` notes while `explain` runs; None when computing.
noted: ContextVar[list[Plan] | None] = ContextVar("noted", default=None)

# Modules of the functions that leave no choice, and what to say of them.
NO_CHOICE = {
    "activation": "element by element",
    "elementwise": "element by element",
    "exponential": "element by element",
    "gates": "element by element",
    "rectifiers": "element by element",
    "shrinks": "element by element",
    "sigmoids": "element by element",
    "softmax": "slice by slice along its axis",
    "normalization": "element by element, with the statistics of its channels or neighbours",
    "layer_normalization": "element by element, with the statistics of its line or group",
    "padding": "element by element, copied to its place",
    "shuffle": "element by element, copied to its place",
    "interpolate": "axis by axis",
}
# What computes them, where that is not "apply" of the family "elementwise".
_COMPUTED_BY = {
    "prelu": ("elementwise", "prelu"),
    "softmax": ("normalization", "softmax"),
    "log_softmax": ("normalization", "softmax"),
    "softmin": ("normalization", "softmax"),
    "batch_norm": ("normalization", "normalize"),
    "local_response_norm": ("normalization", "local_response"),
    "layer_norm": ("layer_normalization", "layer"),
    "group_norm": ("normalization", "normalize"),
    "pad": ("padding", "pad"),
    "pixel_shuffle": ("shuffle", "pixel_shuffle"),
    "pixel_unshuffle": ("shuffle", "pixel_unshuffle"),
    "interpolate": ("interpolation", "resample"),
}


def machine() -> Machine:
    """Return the machine that plans are made for: the target of generated code, with the threads that a call may use.

    Where no code can be made, a warning says so once, and everything is planned without it.
    """
    try:
        here = target.current()
        name, generated, units = here.name, True, here.units
    except CompilationFailed as error:
        giving_way.warn(error)
        # A machine like this one: NumPy computes with vectors all the same.
        name, generated = "neon" if platform.machine().lower() in ("arm64", "aarch64") else "avx2", False
        units = ()
    return _machine(name, workers.get_num_threads(), generated, units)


@lru_cache(maxsize=16)
def _machine(name: str, cores: int, generated: bool, units: tuple[str, ...]) -> Machine:
    """Return the machine with the rates that were measured for it, if any: they change what is predicted alone."""
    usual = Machine.of(name, cores=cores, generated=generated, units=units)
    found = rates.kept(name) if generated else None
    if found is None:
        return usual
    return replace(usual, measured=found.peaks, bandwidth=found.bandwidth(cores), call=found.call)


def look_again() -> None:
    """Read measured rates anew at the next plan."""
    rates.kept.cache_clear()
    _machine.cache_clear()


def plan_for(
    problem: Any, precision: Any = None, algorithm: Any = None, dtype: Any = "float32", images: int | None = None
) -> Plan:
    """Return the plan of a problem on this machine; `dtype` is that of the data where the problem names none.

    Algorithms are chosen for a batch of `images`; default: what holds.
    """
    held = standing()
    word = held.precision if precision is None else precision
    count = held.images if images is None else images
    return choose(problem, word, algorithm, machine(), str(dtype), packed=held.packed, images=count)


def perform(
    plan: Plan,
    family: str,
    operation: str,
    *operands: Any,
    shape: tuple[int, ...],
    dtypes: tuple[Any, ...],
    out: Any = None,
) -> Any:
    """Run an operation by the algorithm of its plan; under `explain` note the plan and answer with stand-ins.

    `shape` and `dtypes` are those of the results: one, or a tuple of several alike. An algorithm that can writes its
    result to `out`, and returns that.
    """
    plans = noted.get()
    if plans is None:
        module = table.family(family, plan.algorithm)
        return getattr(module, operation)(*operands, **table.into(module, out), **table.in_variant(plan.variant))
    plans.append(plan)
    results = tuple(stand_in(shape, dtype) for dtype in dtypes)
    return results if len(results) > 1 else results[0]


@dataclass(frozen=True, slots=True)
class Array:
    """An array's shape and type, for `striderule.explain` and `striderule.compile` where there is no array yet.

    Parameters
    ----------
    shape
        The size of every axis; one integer means one axis.
    dtype
        The type of the elements. Default float32.

    Raises
    ------
    InvalidArgument, InvalidType
        For negative sizes, and types that no function takes.

    Examples
    --------
    >>> Array((1, 3, 224, 224), "uint8")
    Array((1, 3, 224, 224), 'uint8')
    """

    shape: tuple[int, ...]
    dtype: Any = "float32"

    def __post_init__(self) -> None:
        sizes = tuple(self.shape) if is_sequence(self.shape) else (self.shape,)
        shape = tuple(integer(size, "shape") for size in sizes)
        if any(size < 0 for size in shape):
            raise InvalidArgument(f"shape must have sizes of at least 0, got {shape}")
        check_count(shape, "the array")
        object.__setattr__(self, "shape", shape)
        dtype = door.dtype_word("float32" if self.dtype is None else self.dtype, bfloat=True)
        object.__setattr__(self, "dtype", dtype)

    def __repr__(self) -> str:
        return f"Array({self.shape}, '{self.dtype}')"


def typical(array: Array) -> StandIn:
    """Return the stand-in of an `Array`.

    Integers of up to 16 bits take their extreme, so that the bound of integer sums is that of any data; all others are
    ones.
    """
    dtype: np.dtype[Any] = array.dtype
    extreme = dtype.kind in "iu" and dtype.itemsize <= 2
    return stand_in(array.shape, dtype, np.iinfo(dtype).max if extreme else 1)


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return an argument with `change` applied to it, or to the entries of a tuple or list of arrays."""
    if isinstance(value, tuple | list) and any(isinstance(entry, Array | np.ndarray) for entry in value):
        return type(value)(change(entry) for entry in value)
    return change(value)


@contextlib.contextmanager
def noting() -> Iterator[list[Plan]]:
    """Let `perform` note plans instead of computing; gives the list of them."""
    plans: list[Plan] = []
    token = noted.set(plans)
    try:
        yield plans
    finally:
        noted.reset(token)


def name_of(op: Any) -> str:
    """Return what a function or layer is called."""
    return str(getattr(op, "__name__", type(op).__name__))


def without_choice(op: Any) -> str | None:
    """Return how a function that leaves no choice is computed, or None if it has one."""
    module = str(getattr(op, "__module__", ""))
    return NO_CHOICE.get(module.rpartition(".")[2]) if module.startswith("striderule.functional.") else None


def explain(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Plan | Plans:
    """Tell how a call would be computed, without computing it.

    Everything is checked as the call itself would check it.

    Parameters
    ----------
    op
        A function of striderule (``striderule.conv2d``, ``striderule.filters.gaussian``...) or a layer.
    *args, **kwargs
        What would be passed to it: arrays, or `striderule.Array` in their place. Values matter in few places: integer
        types of more than 16 bits, masks, NaN that is to be left out, where a stand-in counts as ones; and the taps of
        image filters, of which a stand-in tells nothing.

    Returns
    -------
    Plan or Plans
        Printing it shows the chosen algorithm and its tile, the predicted time and its share of the machine's limit,
        operations, bytes moved, workspace, error bound, and every algorithm that was not chosen with its reason or
        predicted time. ``.algorithm`` is the name, ``.passes`` the plans of the single passes, ``.to_dict()``
        everything as plain data. A filter of several passes gives `Plans`; so does a function that leaves nothing to
        choose, with no passes and a note that says so.

    Raises
    ------
    InvalidType
        If `op` is no function, or one that computes nothing of its own.
    InvalidArgument, UnprovenRange
        What the call itself would raise for these arguments.

    Examples
    --------
    >>> import striderule as sr
    >>> plan = sr.explain(sr.correlate, sr.Array((480, 640)), [[1, 0, -1]])
    >>> plan.algorithm, plan.work.operations
    ('stencil', 921600)
    >>> print(sr.explain(sr.relu, sr.Array((1, 64, 56, 56))))
    relu: nothing to choose: computed element by element, in generated code
    """
    if not callable(op):
        raise InvalidType(f"op must be a function of striderule or a layer, got {op!r}")
    how = without_choice(op)
    if how is not None:
        return Plans(name_of(op), (), f"nothing to choose: computed {how}, {_means(op, args, kwargs)}")
    plans = plans_of(op, args, kwargs)
    if not plans:
        return Plans(name_of(op), (), "nothing to choose: nothing is planned for these arguments")
    return plans[0] if len(plans) == 1 else Plans(name_of(op), tuple(plans))


def _means(op: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return what computes a function that leaves no choice, in words."""
    family, operation = _COMPUTED_BY.get(name_of(op), ("elementwise", "apply"))
    algorithm = kwargs.get("algorithm")
    value = args[0] if args else kwargs.get("x", kwargs.get("input"))
    dtype = value.dtype if isinstance(value, Array | np.ndarray) else np.asarray(value).dtype
    if family == "elementwise" and dtype.kind == "c":  # which code is not generated for
        algorithm = algorithm or table.DEFAULT
    return table.means(family, operation, algorithm)


def plans_of(op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Plan]:
    """Return the plan of every pass of a call, in their order."""
    positional = [replaced(value, _standing) for value in args]
    named = {key: replaced(value, _standing) for key, value in kwargs.items()}
    with noting() as plans:
        op(*positional, **named)
    return plans


def _standing(value: Any) -> Any:
    return typical(value) if isinstance(value, Array) else value
