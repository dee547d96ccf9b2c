"""The routine of a pooling: its tasks, and the way to go through windows that its structure names."""

from __future__ import annotations

from striderule.algorithms.direct.pooling.planes import AcrossPlanes
from striderule.algorithms.direct.pooling.pool import Pool
from striderule.algorithms.direct.pooling.rows import AlongRows, SideBySide
from striderule.algorithms.direct.pooling.single import AcrossWindows, WholePlanes, WithinWindows
from striderule.algorithms.direct.pooling.structure import Structure
from striderule.codegen.target import Target

WAYS: dict[str, type[Pool]] = {
    "across": AcrossWindows,
    "along": AlongRows,
    "table": AlongRows,
    "planes": AcrossPlanes,
    "within": WithinWindows,
    "whole": WholePlanes,
}


def pooling_routine(target: Target, s: Structure) -> str:
    """Return the routine of a structure as LLVM IR. Its words are `structure.POINTERS` and `structure.SIZES`."""
    pool = (SideBySide if s.near else WAYS[s.mode])(target, s)
    r, size = pool.r, pool.r.size
    with r.tasks() as task:
        column_task, rest = task % size("column_tasks"), task // size("column_tasks")
        row_task, plane_task = rest % size("row_tasks"), rest // size("row_tasks")
        pool.compute(
            pool.part(plane_task, "task_planes", "planes"),
            pool.part(row_task, "task_rows", "rows"),
            pool.part(column_task, "task_columns", "outputs2"),
        )
    return r.finish()
