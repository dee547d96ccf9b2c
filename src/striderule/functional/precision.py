"""The precision that holds where a call names none: of a `with` block, of the process, of the environment.

A word given to a call goes before that of the innermost ``with striderule.precision(...)`` around it, which goes before
`set_default_precision`, which goes before the environment variable ``STRIDERULE_PRECISION``; without any it is
``"highest"``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from striderule.errors import InvalidArgument
from striderule.planning import PRECISIONS, precision_word

VARIABLE = "STRIDERULE_PRECISION"


class Standing(NamedTuple):
    """What holds for calls that do not say it.

    The precision, whether their weights are packed before, and for a batch of how many images algorithms are chosen.
    """

    precision: str
    packed: bool = False
    images: int = 1


# Of the innermost block: each thread, and each task of asyncio, has its own.
_block: ContextVar[Standing | None] = ContextVar("precision", default=None)
# Of the process; None until it is set or the environment is read.
_default: Standing | None = None


def standing() -> Standing:
    """Return what holds now. Every call asks, so this must be quick."""
    return _block.get() or _default or _first()


def _first() -> Standing:
    """Return what the environment says, and keep it: it is read once, as STRIDERULE_TARGET is."""
    global _default  # noqa: PLW0603 - one value for the process
    word = os.environ.get(VARIABLE, "")
    if word and word not in PRECISIONS:
        raise InvalidArgument(f"{VARIABLE} must be one of {', '.join(PRECISIONS)}, got {word!r}")
    _default = Standing(word or PRECISIONS[0])
    return _default


def forget() -> None:
    """Forget the default, and read STRIDERULE_PRECISION anew at the next call."""
    global _default  # noqa: PLW0603
    _default = None


def effective(precision: Any) -> str:
    """Return the precision of a call: its own valid word, or what holds where it gives None."""
    return standing().precision if precision is None else precision_word(precision)


def get_default_precision() -> str:
    """Return the precision of calls that name none, outside of all ``with striderule.precision(...)`` blocks.

    Returns
    -------
    str
        What `set_default_precision` was given last; else what the environment variable ``STRIDERULE_PRECISION`` said
        when it was first needed; else ``"highest"``.

    Raises
    ------
    InvalidArgument
        If ``STRIDERULE_PRECISION`` is none of the words.

    Examples
    --------
    >>> get_default_precision()
    'highest'
    """
    return (_default or _first()).precision


def set_default_precision(word: str) -> None:
    """Set the precision of all calls of this process that name none, in every thread.

    Parameters
    ----------
    word
        ``"highest"``, ``"high"`` or ``"medium"``: the promise on the error of float32 sums, see `striderule.conv2d`.
        The fastest algorithm that keeps it computes. float64 and integers are the same under each.

    Raises
    ------
    InvalidArgument
        For any other word.

    See Also
    --------
    precision : for the calls of a block alone.

    Examples
    --------
    >>> set_default_precision("high")
    >>> get_default_precision()
    'high'
    >>> set_default_precision("highest")
    """
    global _default  # noqa: PLW0603
    if word is None:
        raise InvalidArgument(f"precision must be one of {', '.join(PRECISIONS)}, got None")
    _default = Standing(precision_word(word))


def precision(word: str) -> contextlib.AbstractContextManager[None]:
    """Let the calls of a ``with`` block that name no precision take this one.

    It holds for the thread, or the task of asyncio, that enters the block; threads that start inside begin with the
    default. Blocks nest: the innermost counts. ``with sr.precision("high"):`` is the name of the argument
    ``precision="high"`` of single calls, which goes before it. What `striderule.compile` makes inside keeps the word.

    Parameters
    ----------
    word
        ``"highest"``, ``"high"`` or ``"medium"``.

    Returns
    -------
    context manager
        For one ``with``.

    Raises
    ------
    InvalidArgument
        For any other word, before the block is entered.

    Examples
    --------
    >>> import striderule as sr
    >>> spec = sr.Array((1, 64, 56, 56)), sr.Array((64, 64, 3, 3))
    >>> with sr.precision("medium"):
    ...     sr.explain(sr.conv2d, *spec).precision
    'medium'
    >>> sr.explain(sr.conv2d, *spec).precision
    'highest'
    """
    if word is None:
        raise InvalidArgument(f"precision must be one of {', '.join(PRECISIONS)}, got None")
    return under(standing()._replace(precision=precision_word(word)))


@contextlib.contextmanager
def under(held: Standing) -> Iterator[None]:
    """Let this hold in a block."""
    token = _block.set(held)
    try:
        yield
    finally:
        _block.reset(token)
