"""Direct convolution cut as a test wants it, on the target that it wants."""

from striderule.algorithms.direct import call
from striderule.planning import schedule


def forget():
    """Forget the calls and schedules that are kept."""
    call._call_for.cache_clear()
    schedule.schedule.cache_clear()


def on_target(monkeypatch, machine):
    """Let calls be made for a target."""
    monkeypatch.setattr(call, "current", lambda: machine)


def cut_so(monkeypatch, cut):
    """Let blocks be of so many rows and columns, and so many images together (0: rows one by one).

    And so many images one after the other, if a fourth number says so.
    """
    blocks_of, stack = schedule.Blocks.of, dict(zip(("stack",), cut[3:], strict=False))
    monkeypatch.setattr(schedule.Blocks, "of", lambda *words, **more: blocks_of(*words[:4], *cut[:3], **more | stack))
    forget()
