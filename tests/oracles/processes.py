"""Python processes of their own: what they print, if they end well and in time."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def process(code, **variables):
    """Return a Python process that runs the code, with warnings as errors; `variables` are of its environment."""
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code],
        env=os.environ | {"PYTHONPATH": path} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(running):
    """Return the lines that a process prints until it ends well, which it must do soon."""
    try:
        out, err = running.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        running.kill()
        out, err = running.communicate()
        raise AssertionError(f"the process hangs: {out} {err}") from None
    assert (running.returncode, err) == (0, "")
    return out.splitlines()
