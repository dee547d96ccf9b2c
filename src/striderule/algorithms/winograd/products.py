"""The products between the transforms: at each point, tiles by input channels times input channels by outputs."""

from __future__ import annotations

from dataclasses import dataclass

from striderule.algorithms.winograd.structure import Form
from striderule.codegen.tile import Pointer, Routine, Size

# Numbers of a cache line.
LINE = 16


@dataclass(frozen=True, slots=True)
class Factors:
    """What is multiplied: V of the task's first tile, M, how many tiles, and which panels of weights."""

    v: Pointer
    m: Pointer
    tiles: Size
    group: Size
    first_panel: Size
    panels: Size


def multiply(r: Routine, form: Form, factors: Factors) -> None:
    """Write M for all tiles, and whole panels of output channels.

    The terms are summed in chains, and these in their order. Tiles beyond the last, up to a whole row of registers, are
    computed of whatever stands there.
    """
    width = form.vectors * r.lanes
    rows = (factors.tiles + (form.rows - 1)) // form.rows
    with r.loop(form.points) as point, r.loop(factors.panels) as panel, r.loop(r.size("chains")) as chain:
        met, first = chain // r.size("plane_chains"), chain % r.size("plane_chains") * r.size("chain")
        terms = (r.size("inputs") - first).smaller(r.size("chain"))
        number = (factors.group * form.points + point) * r.size("panel_blocks") + factors.first_panel + panel
        weights = r.pointer("panels") + ((number * r.size("met") + met) * r.size("inputs") + first) * width
        v = factors.v + (chain * r.size("v_chain") + point * r.size("v_point"))
        m = factors.m + (point * r.size("m_point") + panel * width)
        with r.loop(rows) as row:
            _tile(
                r,
                form,
                v + row * (form.rows * form.pitch),
                weights,
                terms,
                chain,
                m + row * form.rows * r.size("m_tile"),
            )


def _tile(r: Routine, form: Form, v: Pointer, weights: Pointer, terms: Size, chain: Size, m: Pointer) -> None:
    """Form the sums of one tile of registers over a chain, and add them to those of the chains before.

    Beside them, ask for V of the next rows of tiles: it comes from another core's cache, where V is shared, and each of
    its rows is so short that nothing foresees the next. A chain has as many cache lines as it has terms, or fewer.
    """
    sums = r.tile(form.rows, form.vectors)
    following = v + form.rows * form.pitch
    with r.loop(terms) as k:
        r.prefetch(following + k * LINE)
        under = weights + k * (form.vectors * r.lanes)
        values = [r.load(under + n * r.lanes) for n in range(form.vectors)]
        for row in range(form.rows):
            factor = r.broadcast(v + k + row * form.pitch)
            for n in range(form.vectors):
                sums[row][n].add_product(factor, values[n])
    step = r.size("m_tile")
    places = [(m + row * step + n * r.lanes, sums[row][n]) for row in range(form.rows) for n in range(form.vectors)]
    with r.either(chain.equals(0)) as (begun, more):
        with begun:
            for place, total in places:
                r.store(total.value, place)
        with more:
            for place, total in places:
                r.store(r.load(place) + total.value, place)
