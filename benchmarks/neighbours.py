"""Whether the machine was ours while we measured."""

from __future__ import annotations

import os
from pathlib import Path


class Watch:
    """Counts, from its making, the processors' time that others took; Linux tells it."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._before = self._now()

    def others(self) -> float | None:
        """Return the part of all processors' time since then that other processes had, or None where nobody knows."""
        now = self._now()
        if now is None or self._before is None or now[0] <= self._before[0]:
            return None
        whole, busy, own = (after - before for after, before in zip(now, self._before, strict=True))
        return min(max((busy - own) / whole, 0.0), 1.0)

    def _now(self) -> tuple[float, float, float] | None:
        """Return the seconds of all processors since the start, those of them that were used, and our own."""
        try:
            words = self._stat.read_text(encoding="ascii").splitlines()[0].split()[1:9]
            ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in words]
        except (OSError, ValueError, IndexError, AttributeError):
            return None
        times = os.times()
        # User, nice, system, idle, waiting for disks, interrupts twice, and what the hypervisor gave to others.
        own = times.user + times.system + times.children_user + times.children_system
        return sum(ticks), sum(ticks) - ticks[3] - ticks[4], own


def told(part: float | None) -> str:
    """Return a sentence on it, or nothing where we were as good as alone.

    >>> told(0.123)
    'other processes took 12 % of the processors meanwhile: measure again when it is quiet'
    """
    if part is None or part < 0.03:
        return ""
    return f"other processes took {100 * part:.0f} % of the processors meanwhile: measure again when it is quiet"
