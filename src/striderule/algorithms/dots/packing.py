"""Packing channels into words, in the tile language: the one pass over a narrow input, and over weights.

    words[n, g, p, i] = the numbers of channels count * p ... count * p + count - 1 of group g of image n, at position i

The lowest bits hold the first channel; behind the last one stand zeros. Any order of memory is read; planes come out
one after the other, so that a convolution reads them in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from striderule.algorithms.direct import native
from striderule.algorithms.dots.words import Words
from striderule.codegen.dots import NUMBERS, dot
from striderule.codegen.target import Target
from striderule.codegen.tile import (
    ELEMENTS,
    FLOAT32,
    INT16,
    INT32,
    UINT8,
    UINT16,
    UINT32,
    Element,
    Mask,
    Pointer,
    Register,
    Routine,
    Size,
    Vector,
)

POINTERS = ("x", "words", "found", "walk")
SIZES = (
    # Walks over images, groups and outer rows; blocks of each row, positions of a block, of a row.
    "walks", "blocks", "block", "length",
    # Distances in elements from position to position and channel to channel; channels of a group; planes of a part;
    # words of a plane.
    "step", "channel", "channels", "planes", "plane",
    # Planes that stand together, and words between the end of these and the next ones.
    "together", "gap",
)  # fmt: skip
ONES = 0x01010101


@dataclass(frozen=True, slots=True)
class Form:
    """All that the code depends on besides the target.

    `way` says where neighbours in memory are: "columns" (positions), "channels", "beside" (channels at the only
    position) or "each" (neither). With `sums` the bytes are added up, "signed" or "unsigned".
    Planes go to `panels` of so many each, or one after the other.
    """

    words: Words
    way: str
    sums: str = ""
    panels: bool = False

    @property
    def name(self) -> str:
        """A name that tells the most of it."""
        return f"pack_{self.words.unit}_{self.words.source}_{self.way}"

    @property
    def element(self) -> Element:
        """What is read: bits, where only these matter."""
        if self.words.unit == "dot8":
            return UINT8
        return UINT16 if self.words.source == "bfloat16" else ELEMENTS[self.words.source]

    @property
    def number(self) -> int:
        """Numbers of a word."""
        return NUMBERS[self.words.unit]


@dataclass(frozen=True, slots=True)
class There:
    """Where a task packs: its first number and word, how many positions, and what it finds out.

    Of bytes `first` adds them up; of floats it holds the bits of the largest magnitude, and `second` those of the
    smallest that is not zero, less one.
    """

    form: Form
    x: Pointer
    goal: Pointer
    count: Size
    first: Register
    second: Register


def packing_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    r = Routine(form.name, target, INT32, pointers=POINTERS, sizes=SIZES)
    lanes = 1 if form.way == "each" else r.lanes
    with r.tasks() as task:
        (block,), number = r.digits(task, ("blocks",))
        x_at, words_at = native.followed(r, number, 0, 0)
        begin = block * r.size("block")
        x = r.pointer("x", form.element) + (x_at + begin * r.size("step"))
        goal = r.pointer("words", UINT32) + (words_at + begin)
        first, second = (r.register(r.constant(start, UINT32, lanes)) for start in (0, 2**32 - 1))
        there = There(form, x, goal, (r.size("length") - begin).smaller(r.size("block")), first, second)
        _WAYS[form.way](r, there)
        _tell(r, there, task)
    return r.finish()


def _tell(r: Routine, there: There, task: Size) -> None:
    """Leave what a task has found out."""
    found = r.pointer("found", UINT32) + task * 2
    combine: Callable[[Vector, Vector], Vector] = r.maximum
    if there.form.sums:
        combine = lambda a, b: a + b  # noqa: E731 - one of two
    r.store_first(r.folded(there.first.value, combine), found)
    r.store_first(r.folded(there.second.value, r.minimum), found + 1)


# The ways -------------------------------------------------------------------------------------------------------------


def _columns(r: Routine, there: There) -> None:
    """Positions stand next to each other: vectors of positions, of one channel each."""
    number = there.form.number
    # Found once, since weights have few positions and many planes.
    full = there.count // r.lanes * r.lanes
    tail = r.first_lanes(there.count - full)
    with r.loop(r.size("planes")) as p:
        left = r.size("channels") - p * number
        with r.either(left.below(number)) as (few, whole):
            with few:
                _plane(r, there, p, full, tail, left)
            with whole:
                _plane(r, there, p, full, tail, None)


def _plane(r: Routine, there: There, p: Size, full: Size, tail: Mask, left: Size | None) -> None:
    """Pack a plane of which `left` channels are there; all of them, if that is None."""
    number = there.form.number
    x = there.x + p * number * r.size("channel")

    def some(i: Size, masks: list[Mask | None], here: Mask | None) -> None:
        loaded = [r.load(x + (c * r.size("channel") + i), mask) for c, mask in enumerate(masks)]
        _store(r, there, _packed(r, there, loaded), p, i, here)

    if left is not None:
        with r.loop(there.count, step=r.lanes) as i:
            rest = there.count - i
            counts = [r.choose(left.above(c), rest, 0) for c in range(number)]
            some(i, [r.first_lanes(count) for count in counts], r.first_lanes(rest))
        return
    with r.loop(full, step=r.lanes) as i:
        some(i, [None] * number, None)
    with r.when((there.count - full).above(0)):
        some(full, [tail] * number, tail)


def _channels(r: Routine, there: There) -> None:
    """Channels stand next to each other: vectors of words of one position each, turned in squares."""
    with r.loop(r.size("planes"), step=r.lanes) as p, r.loop(there.count, step=r.lanes) as i:
        read = []
        for lane in range(r.lanes):
            # Positions behind the last are read as that, and not written.
            position = (i + lane).smaller(there.count - 1)
            read.append(_neighbours(r, there, there.x + position * r.size("step"), p))
        turned = [r.transpose([words[part] for words in read]) for part in range(len(read[0]))]
        here = r.first_lanes(there.count - i)
        for lane in range(r.lanes):
            with r.when((r.size("planes") - p).above(lane)):
                _store(r, there, [part[lane] for part in turned], p + lane, i, here)


def _beside(r: Routine, there: There) -> None:
    """There is one position: vectors of words go where they come from."""
    with r.loop(r.size("planes"), step=r.lanes) as p:
        _store(r, there, _neighbours(r, there, there.x, p), p, 0, r.first_lanes(r.size("planes") - p))


def _each(r: Routine, there: There) -> None:
    """Numbers stand anywhere: one by one."""
    number = there.form.number
    with r.loop(r.size("planes")) as p, r.loop(there.count) as i:
        left = r.size("channels") - p * number
        at = there.x + (p * number * r.size("channel") + i * r.size("step"))
        loaded = [r.load(at + r.size("channel") * c, r.first_lanes(left - c, 1), 1) for c in range(number)]
        _store(r, there, _packed(r, there, loaded), p, i, None)


_WAYS = {"columns": _columns, "channels": _channels, "beside": _beside, "each": _each}


def _neighbours(r: Routine, there: There, x: Pointer, p: Size) -> list[Vector]:
    """Return the words from number `p` on of channels that stand next to each other at x."""
    form, count = there.form, r.lanes * there.form.number
    left, at = r.size("channels") - p * form.number, x + p * form.number
    if r.target.vector_bytes == 64:
        loaded = r.load(at, r.first_lanes(left, count), count)
    else:  # masks of narrow numbers become branches
        room = r.register(r.constant(0, form.element, count))
        with r.either(left.below(count)) as (few, whole):
            with few:
                room.set(r.gather(at, r.whole(1), left.larger(0), count))
            with whole:
                room.set(r.load(at, lanes=count))
        loaded = room.value
    if form.element == FLOAT32:
        return _packed(r, there, [r.shuffle(loaded, loaded, range(c, count, form.number)) for c in range(form.number)])
    if form.words.unit == "dot16":
        loaded = r.convert(loaded, INT16)
    words = r.words(loaded, UINT32)
    if form.words.flip:
        words = words ^ 0x80808080
    _find_out(r, there, words)
    return _with_zeros(form, words)


# From numbers to words ------------------------------------------------------------------------------------------------


def _packed(r: Routine, there: There, numbers: list[Vector]) -> list[Vector]:
    """Return the words of every part, of vectors of the numbers that they hold."""
    form = there.form
    if form.element == FLOAT32:
        for number in numbers:
            _size(r, there, r.bits(number, UINT32))
        return _parts(r, form.words.different, numbers)
    bits = 32 // form.number
    wide = [r.bits(r.convert(number, INT32), UINT32) & (2**bits - 1) for number in numbers]
    words = wide[0]
    for i, number in enumerate(wide[1:], 1):
        words = words | (number << bits * i)
    if form.words.flip:
        words = words ^ 0x80808080
    _find_out(r, there, words)
    return _with_zeros(form, words)


def _with_zeros(form: Form, words: Vector) -> list[Vector]:
    """Return the parts of narrow numbers: themselves, and nothing else."""
    return [words, *[words.like(0)] * (form.words.different - 1)]


def _parts(r: Routine, parts: int, numbers: list[Vector]) -> list[Vector]:
    """Return words of the bfloat16 nearest to float32, of those nearest to what is left, and so on."""
    found = []
    for _ in range(parts):
        rounded = []
        for number in numbers:
            bits = r.bits(number, UINT32)
            rounded.append((bits + (((bits >> 16) & 1) + 0x7FFF)) & 0xFFFF0000)
        found.append((rounded[0] >> 16) | rounded[1])
        # What is left is a float32: the bits that were rounded away.
        numbers = [number - r.bits(high, FLOAT32) for number, high in zip(numbers, rounded, strict=True)]
    return found


def _find_out(r: Routine, there: There, words: Vector) -> None:
    """Add bytes up, or look at the sizes of bfloat16."""
    form = there.form
    if form.words.unit == "bfloat16":
        for bits in (words << 16, words & 0xFFFF0000):
            _size(r, there, bits)
    elif form.sums:
        ones, word = r.constant(ONES, INT32, words.lanes), r.bits(words, INT32)
        total = r.bits(there.first.value, INT32)
        pair = (ones, word) if form.sums == "signed" else (word, ones)
        there.first.set(r.bits(dot(r, "dot8", total, *pair), UINT32))


def _size(r: Routine, there: There, bits: Vector) -> None:
    """Note the magnitudes of float32, whose bits are in order: the largest, and the smallest but zero, less one."""
    size = bits & 0x7FFFFFFF
    there.first.set(r.maximum(there.first.value, size))
    there.second.set(r.minimum(there.second.value, size - 1))


def _store(r: Routine, there: There, parts: list[Vector], p: Size, i: Size | int, here: Mask | None) -> None:
    """Write the words of every part to its plane p, at position i."""
    for place, part in enumerate(there.form.words.parts):
        number = p + r.size("planes") * place
        goal = there.goal + (number * r.size("plane") + i)
        if there.form.panels:
            goal = goal + number // r.size("together") * r.size("gap")
        r.store(parts[part], goal, here)
