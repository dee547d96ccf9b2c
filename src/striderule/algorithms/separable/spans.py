"""How a line is gone over: blocks of vectors, the last of which ends with it and may overlap the one before."""

from __future__ import annotations

from collections.abc import Callable

from striderule.codegen.tile import Routine, Size


def spans(
    r: Routine, count: Size, vectors: int, body: Callable[[Size, int, int], None], lanes: int | None = None
) -> None:
    """Write body(start, vectors, lanes) over `count` elements: whole blocks, else single vectors, else single lanes.

    Blocks may overlap, so the body must give the same when it is done twice.
    """
    each = lanes or r.lanes

    def blocks(many: int) -> None:
        wide = many * each
        with r.loop((count + (wide - 1)) // wide) as i:
            body((i * wide).smaller(count - wide), many, each)

    with r.either(count.above(vectors * each - 1)) as (fits, narrow):
        with fits:
            blocks(vectors)
        with narrow:
            if vectors == 1:
                _singles(r, count, body)
                return
            with r.either(count.above(each - 1)) as (one, less):
                with one:
                    blocks(1)
                with less:
                    _singles(r, count, body)


def _singles(r: Routine, count: Size, body: Callable[[Size, int, int], None]) -> None:
    with r.loop(count) as i:
        body(i, 1, 1)
