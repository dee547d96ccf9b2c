"""Without matplotlib the package is refused in one line that names the extra."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys
sys.modules["matplotlib"] = None
import striderule
try:
    striderule.figures
except ImportError as error:
    print(type(error).__name__, error)
"""
QUIET = """
import sys
import striderule.figures as figures
figures.image([[0, 1]])
assert "matplotlib.pyplot" not in sys.modules
"""


@pytest.mark.parametrize(
    ("script", "output"),
    [
        (WITHOUT, "MissingExtra matplotlib is not installed; it comes with: pip install 'striderule[figures]'\n"),
        (QUIET, ""),
    ],
)
def test_in_a_fresh_interpreter(script, output):
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == output
