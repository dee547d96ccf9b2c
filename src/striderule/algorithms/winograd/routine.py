"""The routine of Winograd, in the tile language: its tasks, and what each keeps in the cache.

A task either transforms inputs into V, which all threads share, or forms the products of a block of tiles and
transforms the outputs, or does both with a V of its own. Which suits, and how large blocks are, is arithmetic on sizes
(`planning.winograd`).
"""

from __future__ import annotations

from striderule.algorithms.winograd.inputs import transform_inputs
from striderule.algorithms.winograd.outputs import transform_outputs
from striderule.algorithms.winograd.products import Factors, multiply
from striderule.algorithms.winograd.structure import POINTERS, SIZES, Form
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, Pointer, Routine, Size


def winograd_routine(form: Form, target: Target) -> str:
    """Return the routine as LLVM IR."""
    numbers = tuple(f"number_{i}" for i, word in enumerate(form.parameters) if word is None)
    r = Routine(form.name, target, FLOAT32, pointers=POINTERS, sizes=SIZES, numbers=numbers)
    flags = r.table("flags")
    slot = r.claim(flags, r.size("threads"))
    room = r.pointer("work") + slot * r.size("room")
    with r.tasks() as number:
        _task(r, form, number, room)
    r.give_back(flags, slot)
    return r.finish()


def _task(r: Routine, form: Form, number: Size, room: Pointer) -> None:
    """Write a task: a block of tiles varies first, then a share of the channels, then the group."""
    (block, share), group = r.digits(number, ("blocks", "shares"))
    first = block * r.size("block")
    count = (r.size("tiles") - first).smaller(r.size("block"))
    tile, strip, m = r.size("first_tile") + first, room + r.size("strip_at"), room + r.size("m_at")
    common = r.pointer("v") + (group * r.size("chains") * r.size("v_chain") + first * form.pitch)
    v = r.nearer(r.size("shared").equals(1), common, room + r.size("v_at"))
    with r.when(r.size("transforms").equals(1)):
        begin = share * r.size("input_vectors")
        vectors = (r.size("inputs") + (r.lanes - 1)) // r.lanes * r.size("met") - begin
        transform_inputs(r, form, tile, count, group, (begin, vectors.smaller(r.size("input_vectors"))), v, strip)
    with r.when(r.size("multiplies").equals(1)), r.loop(r.size("output_blocks")) as i:
        begin = (share * r.size("output_blocks") + i) * r.size("output_vectors")
        vectors = (r.size("channels") + (r.lanes - 1)) // r.lanes - begin
        vectors = vectors.smaller(r.size("output_vectors")).larger(0)
        panels = (vectors + (form.vectors - 1)) // form.vectors
        multiply(r, form, Factors(v, m, count, group, begin // form.vectors, panels))
        transform_outputs(r, form, tile, count, group, (begin, vectors), m, strip)
