"""Panels of weights: those of a tile of output channels and a chunk of terms, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striderule.algorithms.direct.laying import Form
from striderule.codegen.tile import ELEMENTS, Pointer, Routine, Size

if TYPE_CHECKING:
    from striderule.algorithms.direct.product import Sweep


def panel_of(r: Routine, form: Form, sweep: Sweep, row: Size) -> Pointer:
    """Return the weights of a chunk for one tile's rows, each `form.panel` behind the one before.

    They are copied side by side, since they are read for every tile of positions, unless they came so. A weight that is
    no number, or infinite, leaves NaN in `bad`.
    """
    task = sweep.task
    room = task.room + r.size("panel_at")
    with r.when(r.size("packed").equals(0)):
        (_around if form.around else _along)(r, form, sweep, row, room)
    # Panels stand in the order of groups, tiles, chunks.
    tiles = (r.size("channels") + (form.rows - 1)) // form.rows
    tile = task.window.group * tiles + (task.first + row - task.window.group * r.size("channels")) // form.rows
    ready = r.pointer("w") + (tile * r.size("chunks") + sweep.chunk) * (form.rows * form.panel)
    return r.nearer(r.size("packed").equals(0), room, ready)


def _along(r: Routine, form: Form, sweep: Sweep, row: Size, room: Pointer) -> None:
    """Copy weights that stand term by term, a row after the other."""
    task = sweep.task
    last = (task.window.group + 1) * r.size("channels") - 1
    with r.loop(form.rows) as m:
        # Rows beyond the last repeat it, so that nothing outside is read; they are not stored.
        source = r.pointer("w", ELEMENTS[form.weights]) + (
            (task.first + row + m).smaller(last) * r.size("terms") + sweep.first_term
        )
        with r.loop(sweep.terms, step=r.lanes) as k:
            weights = r.convert(r.load(source + k, r.first_lanes(sweep.terms - k)), r.element)
            if r.element.kind == "f" and not form.unit:
                sweep.bad.set(r.multiply_add(weights, r.constant(0), sweep.bad.value))
            r.store(weights, room + m * form.panel + k)
            # The next tile's weights come from far away while this one is swept.
            r.prefetch(source + form.rows * r.size("terms") + k)


def _around(r: Routine, form: Form, sweep: Sweep, row: Size, room: Pointer) -> None:
    """Copy weights that stand as [input channel, output channel, taps backwards], a channel after the other."""
    taps, first = form.around, sweep.first_term // form.around
    with r.loop(form.rows) as m:  # what is read behind the last term
        r.store(r.constant(0), room + (m * form.panel + sweep.terms))
    with r.loop(sweep.terms // taps) as c, r.loop(form.rows) as m:
        channel = (sweep.task.first + row + m).smaller(r.size("channels") - 1)
        source = r.pointer("w", ELEMENTS[form.weights]) + ((first + c) * r.size("channels") + channel) * taps
        # Each vector goes on behind its taps with zeros, where what follows is written afterwards.
        for begin in reversed(range(0, taps, r.lanes)):
            here = min(r.lanes, taps - begin)
            weights = r.convert(r.load(source + begin, r.first_lanes(here)), r.element)
            sweep.bad.set(r.multiply_add(weights, r.constant(0), sweep.bad.value))
            order = [*reversed(range(here)), *range(here, r.lanes)]
            r.store(r.shuffle(weights, weights, order), room + (m * form.panel + c * taps + (taps - begin - here)))
        r.prefetch(source + form.rows * taps)
