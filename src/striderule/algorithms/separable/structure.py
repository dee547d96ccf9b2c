"""What the code of a routine of passes depends on, and the names of its words."""

from __future__ import annotations

from dataclasses import dataclass

POINTERS = (
    "x", "y", "rows", "beyond", "down", "across", "fills", "blank", "chunks", "levels", "walk", "flags", "work",
    "watched",
)  # fmt: skip
SIZES = (
    "threads", "room", "walks", "bands", "band", "height", "y_row", "line", "before", "pieces", "pixel", "width",
    "outputs", "stride_down", "dilation_down", "taps_down", "chunks_down", "taps_across", "gap", "groups", "terms",
    "level_count", "top", "rest", "columns", "stride_across", "strip", "stack", "lines_at", "state_at", "suffix_at",
    "sums_at", "lead", "parts", "part",
)  # fmt: skip
NUMBERS = ("divisor", "inverse")

# Taps of a pass that are written out one by one; of more there is a loop.
SHORT = 16


@dataclass(frozen=True, slots=True)
class Fold:
    """How taps are symmetric: `sign` is 1 or -1 (0: they are not), `rest` their pairs modulo the outputs together.

    `odd` tells of a tap in the middle, `chained` of more pairs than a chain has.
    """

    sign: int = 0
    rest: int = 0
    odd: bool = False
    chained: bool = False


@dataclass(frozen=True, slots=True)
class Down:
    """The vertical pass.

    `kind` is "few" (the taps `kept` are written out, with this stride and dilation), "many" (a loop over taps), "run"
    (equal taps of exact numbers: what enters a window is added to it, and what leaves is taken away), or "blocks"
    (equal taps: sums up to a row, and from there on), or "folded" (taps as `fold` says: rows are added before they are
    multiplied; `halved` says that half of each is taken, so that no sum leaves the range of floats). `rows` rows of
    outputs and `vectors` vectors of columns are formed together. `ones` says that all taps are one.
    """

    kind: str
    rows: int
    vectors: int
    kept: tuple[int, ...] = ()
    stride: int = 1
    dilation: int = 1
    ones: bool = False
    fold: Fold = Fold()
    halved: bool = False


@dataclass(frozen=True, slots=True)
class Across:
    """The horizontal pass.

    `kind` is "taps" (`kept` are those written out; with `loop` groups of `SHORT` taps go before them), "turned" (the
    same sums in lines that stand on end), "running" (equal taps of integers: each sum from the one before) or "window"
    (equal taps: sums of twice as many, again and again, the first `levels` of them in registers; `rest` is the number
    of taps that are no whole block then, `several` tells of several digits behind). `fold` tells of symmetric taps,
    where there are many. `gap` is how many elements taps are apart, where the code knows it (0: it does not). `stepped`
    tells of a stride; `ones` says that all taps are one. `vectors` vectors are formed together.
    """

    kind: str
    vectors: int
    kept: tuple[int, ...] = ()
    loop: bool = False
    gap: int = 1
    stepped: bool = False
    ones: bool = False
    several: bool = False
    rest: int = 0
    levels: int = 0
    fold: Fold = Fold()


@dataclass(frozen=True, slots=True)
class Structure:
    """The code of a routine: the types in memory and of the arithmetic, both passes, and what comes after them.

    `divided` is "" or how sums become means: "exact" (the nearest quotient) or "scaled" (times the inverse). `terms`
    tells of several outer products; `watched` lets the routine tell whether a result was not finite; `whole` says that
    sums are whole numbers that the result holds, and `inside` that it holds all sums once they are rounded. Sums become
    results in the type `mean`, and those down the rows stand in the type `held`, which may be narrower.
    """

    source: str
    result: str
    work: str
    mean: str
    held: str
    down: Down
    across: Across
    divided: str = ""
    terms: bool = False
    watched: bool = False
    whole: bool = False
    inside: bool = False

    @property
    def name(self) -> str:
        """The routine's name."""
        return f"passes_{self.source}_{self.work}_{self.result}_{self.down.kind}_{self.across.kind}"
