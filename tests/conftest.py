"""Settings of all tests."""

import gc
import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a process for each core: matrix products of NumPy need no threads of their own, which wait in loops.
    for _word in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_word, "1")

from hypothesis import settings

from striderule.codegen import target
from striderule.functional import recipes

# A busy machine is no failure. CI draws the same examples each time, so that a change fails for what it changes.
settings.register_profile("striderule", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("striderule")
# Writing routines makes many objects and no cycles: to look for cycles every few hundred objects takes a tenth longer.
gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items):
    """Let the longest come first, so that at the end no process waits for another; and share what one process makes."""
    items.sort(key=lambda item: "tour" not in item.path.parts)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """Keep machine code apart from the user's own, also in the processes that tests start.

    The processes that share the tests share what they compile: the next test may be another's. So do several runs, for
    which ``STRIDERULE_TEST_ROUTINES`` names a folder.
    """
    before = os.environ.get("STRIDERULE_CACHE_DIR")
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    os.environ["STRIDERULE_CACHE_DIR"] = os.environ.get("STRIDERULE_TEST_ROUTINES") or str(common / "routines")
    yield
    if before is None:
        del os.environ["STRIDERULE_CACHE_DIR"]
    else:
        os.environ["STRIDERULE_CACHE_DIR"] = before


@pytest.fixture(autouse=True)
def _target_of_its_own():
    """Let each test force a target before it computes; one that forces another later calls `target.forget`, too."""
    target.forget()
    yield
    target.forget()


@pytest.fixture(autouse=True)
def _nothing_remembered():
    """Let each test plan its calls, which may be other ones under what it changes."""
    recipes.forget()
