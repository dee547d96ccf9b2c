"""Direct convolution cut as a test wants it, on the target that it wants."""

from dataclasses import replace

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

    And so many images one after the other, if a fourth number says so. With a fifth, so many blocks are laid out before
    others for two blocks of channels each, if there are as many tiles.
    """
    blocks_of, more = schedule.Blocks.of, dict(zip(("stack", "wave"), cut[3:], strict=False))

    def of(*words, **others):
        found = blocks_of(*words[:4], *cut[:3], **others | more)
        return replace(found, parts=min(2, found.tiles)) if found.wave else found

    monkeypatch.setattr(schedule.Blocks, "of", of)
    monkeypatch.setattr(schedule.Blocks, "wave_of", lambda *_: more.get("wave", 0))
    forget()
