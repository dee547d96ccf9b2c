"""Kernels as written on a command line: ``sobel``, ``gaussian:sigma=2,size=5``, ``[[0,-1,0],...]`` or ``file.npy``."""

from __future__ import annotations

import ast
import difflib
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striderule import kernels
from striderule.errors import StrideruleError

# Not for pictures: arguments that would leave two dimensions, and kernels that have only one.
_HIDDEN_ARGUMENTS = ("ndim", "dtype")
_HIDDEN_KERNELS = ("gaussian_profile",)


class KernelError(StrideruleError):
    """A kernel specification cannot be understood."""


@dataclass(frozen=True)
class Kernel:
    """What a specification stands for.

    `parts` holds one kernel; or two, whose results are the parts of one magnitude: the gradient along both axes
    (``sobel`` without an axis), or real and imaginary part (``gabor``).
    """

    text: str
    parts: tuple[NDArray[Any], ...]
    labels: tuple[str, ...] = ("",)

    @property
    def is_derivative(self) -> bool:
        """Whether the kernel answers to changes only: taps of both signs that cancel, up to sampling."""
        return all(
            bool((part < 0).any()) and abs(float(part.sum())) <= 1e-3 * float(np.abs(part).sum()) for part in self.parts
        )

    @property
    def shown(self) -> str:
        """How its numbers become brightness where nothing else is said."""
        if len(self.parts) == 2:
            return "magnitude"
        return "signed" if self.is_derivative else "raw"


def names() -> dict[str, Callable[..., Any]]:
    """Return the kernels that can be named: name -> function of `striderule.kernels`."""
    return {name: getattr(kernels, name) for name in sorted(kernels.__all__) if name not in _HIDDEN_KERNELS}


def usage(name: str, brief: bool = False) -> str:
    """Return how a kernel is written, such as ``gaussian:sigma[,size][,order=]``; in brief without the last kind.

    >>> usage("box")
    'box:size'
    """
    text = name
    for parameter in inspect.signature(names()[name]).parameters.values():
        named = parameter.kind is parameter.KEYWORD_ONLY
        if parameter.name in _HIDDEN_ARGUMENTS or (named and brief):
            continue
        mark = ":" if text == name else ","
        # The axis may always be left out: then both are taken.
        required = parameter.default is parameter.empty and parameter.name != "axis"
        word = f"{mark}{parameter.name}{'=' if named else ''}"
        text += word if required else f"[{word}]"
    return text


def parse(text: str, others: Sequence[str] = ()) -> Kernel:
    """Return the kernel that `text` stands for; `others` are further names to suggest where this one is unknown.

    Raises
    ------
    KernelError
        If the name is unknown, an argument does not fit, or the values are no finite numbers in two dimensions.
    """
    text = text.strip()
    if text.startswith(("[", "(")):
        return Kernel("custom", (_checked(_literal(text), "the kernel"),))
    if text.lower().endswith(".npy"):
        return Kernel(Path(text).name, (_checked(_file(Path(text)), text),))
    return _named(text, others)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise KernelError(
            f'--kernel must be rows of numbers such as "[[0,-1,0],[-1,5,-1],[0,-1,0]]", got {_short(text)!r}'
        ) from None


def _file(path: Path) -> Any:
    if not path.is_file():
        raise KernelError(f"the kernel file {path} does not exist")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise KernelError(f"the kernel file {path} is no plain NumPy array: {error}") from None


def _checked(value: Any, name: str) -> NDArray[Any]:
    try:
        kernel = np.asarray(value)
    except (ValueError, TypeError):
        raise KernelError(f"{name} must have rows of equal length") from None
    if kernel.dtype.kind not in "biuf":
        raise KernelError(f"{name} must hold real numbers, got {kernel.dtype}")
    if kernel.ndim != 2 or kernel.size == 0:
        hint = '; write a row as "[[1,2,1]]" and a column as "[[1],[2],[1]]"' if kernel.ndim == 1 else ""
        raise KernelError(f"{name} must have two dimensions (rows of numbers), got shape {kernel.shape}{hint}")
    if not np.isfinite(kernel).all():
        raise KernelError(f"{name} must hold finite numbers, got NaN or infinity")
    if float(np.abs(kernel.astype(np.float64)).max()) > float(np.finfo(np.float32).max):
        raise KernelError(f"{name} must hold numbers that float32 holds, up to 3.4e38, got {np.abs(kernel).max():.6g}")
    # Small whole numbers as the named kernels have them: with pictures of up to 16 bits they give exact int32 results.
    small = kernel.dtype.kind in "biu" and bool((np.abs(kernel.astype(np.float64)) < 2**15).all())
    return kernel.astype(np.int16) if small else kernel


def _named(text: str, others: Sequence[str]) -> Kernel:
    name, colon, rest = text.partition(":")
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, [*known, *others], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        listed = ", ".join([*known, *others])
        raise KernelError(f"unknown kernel {_short(name)!r}; {hint}known: {listed}; or rows of numbers, or a .npy file")
    function = known[name]
    positional, keywords = arguments(name, rest, usage(name)) if colon else ([], {})
    signature = inspect.signature(function)
    takes_axis = "axis" in signature.parameters
    if takes_axis and not positional and "axis" not in keywords:
        parts = tuple(_call(name, function, [], keywords | {"axis": axis}) for axis in (0, 1))
        return Kernel(text, parts, ("axis 0, downwards", "axis 1, to the right"))
    value = _call(name, function, positional, keywords)
    if np.iscomplexobj(value):
        return Kernel(text, (value.real.copy(), value.imag.copy()), ("real part", "imaginary part"))
    return Kernel(text, (value,))


def arguments(name: str, rest: str, written: str) -> tuple[list[Any], dict[str, Any]]:
    """Read ``2,size=5`` as the arguments of a call, of plain values only; `written` tells how the call is written."""
    try:
        call = ast.parse(f"f({rest})", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _misused(name, rest, written) from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "f":
        raise _misused(name, rest, written)
    keywords: dict[str, Any] = {}
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in (*_HIDDEN_ARGUMENTS, *keywords):
            raise _misused(name, rest, written)
        keywords[keyword.arg] = _value(keyword.value, name, rest, written)
    return [_value(argument, name, rest, written) for argument in call.args], keywords


def _value(node: ast.expr, name: str, rest: str, written: str) -> Any:
    if isinstance(node, ast.Name):
        words = {"true": True, "false": False, "none": None}
        return words.get(node.id.lower(), node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise _misused(name, rest, written) from None


def _misused(name: str, rest: str, written: str) -> KernelError:
    return KernelError(f"{name} is written {written} with plain values, got {_short(name + ':' + rest)!r}")


def _call(name: str, function: Callable[..., Any], positional: list[Any], keywords: dict[str, Any]) -> NDArray[Any]:
    try:
        inspect.signature(function).bind(*positional, **keywords)
    except TypeError as error:
        raise KernelError(f"{name} is written {usage(name)}: {error}") from None
    try:
        kernel = np.asarray(function(*positional, **keywords))
    except StrideruleError as error:
        raise KernelError(f"{name}: {error}") from error
    if kernel.ndim != 2:
        raise KernelError(
            f"{name} is written {usage(name)} for pictures, got a kernel of {kernel.ndim} dimensions; two sizes are "
            "written (3,5)"
        )
    return kernel


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
