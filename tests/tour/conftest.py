"""The tour, built once for all tests."""

from types import SimpleNamespace

import pytest

from striderule import tour


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The built tour: `index` (its page), `out` (its folder), `runs` by chapter number, and the `progress` reported."""
    pytest.importorskip("sklearn.datasets")  # of the extra `test`; a chapter learns its digits
    out = tmp_path_factory.mktemp("built") / "tour"
    runs, progress = {}, []

    def remembered(chapter):
        runs[chapter.number] = tour.running.run(chapter)
        return runs[chapter.number]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tour, "run", remembered)
        index = tour.build(out, progress=lambda *report: progress.append(report))
    return SimpleNamespace(index=index, out=out, runs=runs, progress=progress)
