"""What is done element by element around missing pixels, in the tile language.

- "marks": 1 where a pixel is NaN, or was marked before; and for every task whether it met one.
- "laying": the image with 0 where a pixel is missing, and how much is there: 1, or 0 where it is missing.
- "mending": the sums s = sum of w x, corrected by what is missing: with v = sum of |w| over what is there,
  a = sum of |w| x and u = sum of w over what is there, s + a / v * (sum of all w - u). Kernels without negative weights
  have a = s and u = v.

Schedule: the arrays are alike in memory and read from one end to the other; a task is a stretch of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from striderule.codegen.target import Target
from striderule.codegen.tile import ELEMENTS, FLOAT32, FLOAT64, UINT8, UINT16, Element, Mask, Routine, Size, Vector

# Elements of a task; bytes that each writes whether it met a gap, as many as the widest vectors have lanes.
STRETCH = 1 << 14
MOST_LANES = 64
# The pointers, and the numbers, of each routine; all have the one size "length".
POINTERS = {
    "marks": ("x", "gaps", "found"),
    "laying": ("x", "gaps", "pixels", "there"),
    "mending": ("s", "a", "v", "u", "y"),
}
# The sum of all |w| and of all w; v from which on nothing is missing, and up to which nothing is there; what stands
# where nothing is.
NUMBERS = {"marks": (), "laying": (), "mending": ("magnitude", "total", "whole", "none", "nowhere")}


@dataclass(frozen=True, slots=True)
class Form:
    """The structure: which of the routines, the elements of the image or the sums, and what else it depends on.

    For marks: whether some were set before. For mending: whether the kernel has negative weights.
    """

    work: str
    element: str
    more: bool = False

    @property
    def name(self) -> str:
        """What the routine is called."""
        return f"{self.work}_{self.element}" + ("_more" if self.more else "")


def gaps_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    lanes_of = FLOAT64 if ELEMENTS[form.element].itemsize == 8 else FLOAT32
    r = Routine(
        form.name, target, lanes_of, pointers=POINTERS[form.work], sizes=("length",), numbers=NUMBERS[form.work]
    )
    with r.tasks() as task:
        first = task * STRETCH
        count = (r.size("length") - first).smaller(STRETCH)
        {"marks": _marks, "laying": _laying, "mending": _mending}[form.work](r, form, task, first, count)
    return r.finish()


def _bits(form: Form) -> Element:
    """Return the elements as they are read: those of 16 bits as they stand."""
    kind = ELEMENTS[form.element]
    return UINT16 if kind.kind == "s" else kind


def _nan(form: Form, x: Vector) -> Mask:
    """Return where there is no number."""
    return (x & 0x7FFF).greater(0x7C00) if form.element == "float16" else x.is_nan()


def _bytes(r: Routine, where: Mask) -> Vector:
    return r.select(where, r.constant(1, UINT8), r.constant(0, UINT8))


def _marks(r: Routine, form: Form, task: Size, first: Size, count: Size) -> None:
    x, gaps = r.pointer("x", _bits(form)) + first, r.pointer("gaps", UINT8) + first
    met = r.register(r.constant(0, UINT8))
    with r.loop(count, step=r.lanes) as i:
        here = r.first_lanes(count - i)
        marks = _bytes(r, _nan(form, r.load(x + i, here)))
        if form.more:
            marks = marks | r.load(gaps + i, here)
        met.set(met.value | marks)
        r.store(marks, gaps + i, here)
    r.store(met.value, r.pointer("found", UINT8) + task * MOST_LANES)


def _laying(r: Routine, form: Form, _task: Size, first: Size, count: Size) -> None:
    kind = _bits(form)
    x, gaps = r.pointer("x", kind) + first, r.pointer("gaps", UINT8) + first
    pixels, there = r.pointer("pixels", kind) + first, r.pointer("there", UINT8) + first
    with r.loop(count, step=r.lanes) as i:
        here = r.first_lanes(count - i)
        gone = r.load(gaps + i, here).differs(0)
        r.store(r.select(gone, r.constant(0, kind), r.load(x + i, here)), pixels + i, here)
        r.store(_bytes(r, ~gone), there + i, here)


def _mending(r: Routine, form: Form, _task: Size, first: Size, count: Size) -> None:
    kind = ELEMENTS[form.element]
    s, a, v, u, y = (r.pointer(word, kind) + first for word in POINTERS["mending"])
    numbers = [r.number(word) for word in NUMBERS["mending"]]
    magnitude, total, whole, none, nowhere = numbers
    with r.loop(count, step=r.lanes) as i:
        here = r.first_lanes(count - i)
        sums, there = r.load(s + i, here), r.load(v + i, here)
        mean = (r.load(a + i, here) if form.more else sums) / there
        missing = total - r.load(u + i, here) if form.more else magnitude - there
        value = r.select(there.less(whole), sums + mean * missing, sums)
        r.store(r.select(there.less_equal(none), nowhere, value), y + i, here)
