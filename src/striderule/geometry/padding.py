"""Padding words to numbers for each side, and the vocabulary of boundaries.

*Padding* is how many positions are added to an axis; *boundary* is what stands there.
"""

from __future__ import annotations

from typing import Any

from striderule.errors import InvalidArgument, InvalidType
from striderule.geometry.arguments import LARGEST, is_sequence
from striderule.geometry.window import extent_of, side_pairs

Sides = tuple[tuple[int, int], ...]
Words = tuple[tuple[str, str], ...]

# word -> what it looks like around the array abc
BOUNDARIES = {
    "constant": "000|abc|000",
    "edge": "aaa|abc|ccc",
    "symmetric": "cba|abc|cba",
    "mirror": "cb|abc|ba",
    "wrap": "abc|abc|abc",
}

BOUNDARY_ALIASES = {
    "zeros": "constant",
    "fill": "constant",
    "grid-constant": "constant",
    "replicate": "edge",
    "nearest": "edge",
    "symm": "symmetric",
    "grid-mirror": "symmetric",
    "reflect_101": "mirror",
    "reflect101": "mirror",
    "circular": "wrap",
    "periodic": "wrap",
    "grid-wrap": "wrap",
}

PADDING_WORDS = ("valid", "same", "same_lower", "full", "causal")

_NESTED = "; in one dimension a pair is written nested: ((before, after),)"


def boundary_word(word: Any, argument: str = "boundary") -> str:
    """Return the one name of a boundary for any of its accepted names.

    Parameters
    ----------
    word
        One of `BOUNDARIES` or `BOUNDARY_ALIASES`, in any case.
    argument
        What errors call it. Default ``"boundary"``.

    Returns
    -------
    str
        One of `BOUNDARIES`.

    Raises
    ------
    InvalidArgument
        For unknown words, and for ``reflect``, which NumPy and PyTorch read as mirror but SciPy and scikit-image as
        symmetric.

    Examples
    --------
    >>> boundary_word("replicate")
    'edge'
    """
    if not isinstance(word, str):
        raise InvalidType(f"{argument} must be a word or a tuple of words, got {word!r}")
    name = word.lower()
    if name in BOUNDARIES:
        return name
    if name in BOUNDARY_ALIASES:
        return BOUNDARY_ALIASES[name]
    if name == "reflect":
        raise InvalidArgument(
            f"{argument}='reflect' means two things: write 'mirror' for cb|abc|ba (NumPy, PyTorch) or 'symmetric' for "
            "cba|abc|cba (SciPy, scikit-image)"
        )
    hint = f"; {word!r} is a padding: write padding={word!r}" if name in PADDING_WORDS else ""
    names = ", ".join(BOUNDARIES)
    raise InvalidArgument(f"{argument} must be one of {names} (or an alias of these), got {word!r}{hint}")


def parse_boundary(value: Any, rank: int, argument: str = "boundary") -> Words:
    """Return (before, after) boundary words for each axis.

    Parameters
    ----------
    value
        One word for every side, or a tuple with one entry an axis, each a word or a (before, after) pair.
    rank
        Number of axes.
    argument
        What errors call it. Default ``"boundary"``.

    Returns
    -------
    tuple
        A (before, after) pair of words from `BOUNDARIES` for each axis.

    Raises
    ------
    InvalidArgument, InvalidType
        For unknown words, and for another number of entries.

    Examples
    --------
    >>> parse_boundary(("wrap", ("edge", "zeros")), 2)
    (('wrap', 'wrap'), ('edge', 'constant'))
    """
    if not is_sequence(value):
        return ((boundary_word(value, argument),) * 2,) * rank
    if len(value) != rank:
        hint = _NESTED if rank == 1 else ""
        raise InvalidArgument(
            f"{argument} must be one word or one entry for each of the {rank} axes, got {value!r}{hint}"
        )
    sides = []
    for entry in value:
        pair = tuple(entry) if is_sequence(entry) else (entry, entry)
        if len(pair) != 2:
            raise InvalidArgument(f"{argument} of an axis must be one word or (before, after), got {entry!r}")
        sides.append((boundary_word(pair[0], argument), boundary_word(pair[1], argument)))
    return tuple(sides)


def word_to_sides(word: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return (before, after) of one axis for a padding word.

    ``same`` gives ceil(size / stride) outputs, as TensorFlow and ONNX define it: the total is
    (ceil(size / stride) - 1) stride + extent - size, and an odd position goes after (``same_lower``: before).
    """
    extent = extent_of(kernel, dilation)
    if word == "valid":
        return 0, 0
    if word == "full":
        return extent - 1, extent - 1
    if word == "causal":
        return extent - 1, 0
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + extent - size, 0)
    small, large = total // 2, total - total // 2
    return (small, large) if word == "same" else (large, small)


def padding_word(word: str) -> str:
    """Return the canonical padding word (upper case as in TensorFlow and ``SAME_UPPER`` as in ONNX are accepted)."""
    name = word.lower()
    if name == "same_upper":
        return "same"
    if name in PADDING_WORDS:
        return name
    known = name in BOUNDARIES or name in BOUNDARY_ALIASES
    hint = f"; {word!r} is a boundary: write boundary={word!r}" if known else ""
    raise InvalidArgument(f"padding must be numbers or one of {', '.join(PADDING_WORDS)}, got {word!r}{hint}")


def parse_padding(
    value: Any,
    *,
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> Sides:
    """Return (before, after) for each axis from words and numbers.

    Parameters
    ----------
    value
        One entry for all axes, or a sequence with one an axis: a word of `PADDING_WORDS`, a number for both sides, or a
        (before, after) pair of numbers. Negative numbers crop.
    size, kernel, stride, dilation
        What words depend on: one integer for each axis.

    Returns
    -------
    tuple
        A (before, after) pair of integers for each axis.

    Raises
    ------
    InvalidArgument, InvalidType
        For unknown words, values that are no integers, and another number of entries.

    Examples
    --------
    >>> parse_padding("same", size=(5, 6), kernel=(3, 4), stride=(1, 2), dilation=(1, 1))
    ((1, 1), (1, 1))
    >>> parse_padding((2, "causal"), size=(5, 6), kernel=(3, 4), stride=(1, 1), dilation=(1, 1))
    ((2, 2), (3, 0))
    """
    rank = len(size)
    entries = list(value) if is_sequence(value) else [value] * rank
    if len(entries) == 1:
        entries = entries * rank
    if len(entries) != rank:
        side_pairs(value, rank)  # refuses, and names the value as it was given
    words = [padding_word(entry) if isinstance(entry, str) else None for entry in entries]
    numbers = side_pairs([0 if word else entry for word, entry in zip(words, entries, strict=True)], rank)
    sides = tuple(
        pair if word is None else word_to_sides(word, *axis)
        for word, pair, axis in zip(words, numbers, zip(size, kernel, stride, dilation, strict=True), strict=True)
    )
    if any(abs(side) > LARGEST for pair in sides for side in pair):
        raise InvalidArgument(f"padding must be below 2**63, got {value!r}")
    return sides


def source_index(position: int, size: int, word: str) -> int | None:
    """Return which element of an axis of length `size` stands at `position`, or None where the fill value stands.

    Parameters
    ----------
    position
        Any integer; outside [0, size) it is beyond the border.
    size
        Length of the axis.
    word
        One of `BOUNDARIES`.

    Returns
    -------
    int or None
        An index in [0, size), or None outside a constant boundary.

    Raises
    ------
    InvalidArgument
        If an empty axis should be continued by its own elements.

    Examples
    --------
    >>> [source_index(i, 3, "mirror") for i in range(-3, 6)]
    [1, 2, 1, 0, 1, 2, 1, 0, 1]
    """
    if 0 <= position < size:
        return position
    if word == "constant":
        return None
    if size == 0:
        raise InvalidArgument(f"boundary={word!r} needs at least one element on the axis; use boundary='constant'")
    if word == "edge":
        return 0 if position < 0 else size - 1
    if word == "wrap":
        return position % size
    if word == "symmetric":
        folded = position % (2 * size)
        return folded if folded < size else 2 * size - 1 - folded
    if size == 1:  # a mirror with nothing beside it shows the only element
        return 0
    folded = position % (2 * size - 2)
    return folded if folded < size else 2 * size - 2 - folded


def boundary_indices(size: int, before: int, after: int, words: tuple[str, str]) -> list[int | None]:
    """Return `source_index` for every position from -before up to, not including, size + after.

    Parameters
    ----------
    size
        Length of the axis.
    before, after
        Positions added to the sides; negative numbers crop.
    words
        The boundaries before and after, from `BOUNDARIES`.

    Returns
    -------
    list of int or None
        One entry for each position of the extended axis.

    Examples
    --------
    >>> boundary_indices(3, 1, 2, ("constant", "wrap"))
    [None, 0, 1, 2, 0, 1]
    """
    return [source_index(i, size, words[0] if i < 0 else words[1]) for i in range(-before, size + after)]
