"""The benchmark of filters: its lists are read, its kernels keep to their words, and peers that differ stop it."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.pictures import jobs, ours, tables


@pytest.mark.parametrize("name", sorted(path.stem for path in jobs.FOLDER.glob("*.txt")))
def test_every_line_names_work_that_we_have(name: str) -> None:
    found = list(jobs.read(name, 3))
    assert len(found) > 10
    for job in found:
        assert job.work in ours._CALLS
        assert np.dtype(job.pixel).kind in "uf"
        if job.work == "correlate":
            assert job.kernel.ndim == len(job.shape)


def test_kernels_are_what_their_words_say() -> None:
    assert np.linalg.matrix_rank(jobs.kernel_of("random", [9, 9])) == 9
    assert np.linalg.matrix_rank(jobs.kernel_of("rank2", [17, 17])) == 2
    disk = jobs.kernel_of("disk", [5, 5])
    assert (disk > 0).sum() == 21
    with pytest.raises(ValueError, match="no kernel 'star'"):
        jobs.kernel_of("star", [3, 3])


def test_our_way_computes_what_the_line_says() -> None:
    job = jobs.Job("small", "correlate", "random:3", "uint8", "float32", shape=(12, 14))
    image = job.image
    exact = np.zeros(job.shape)
    wide = np.pad(image.astype(float), 1, mode="reflect")
    for i in range(3):
        for j in range(3):
            exact += float(job.kernel[i, j]) * wide[i : i + 12, j : j + 14]
    np.testing.assert_allclose(ours.way(job, image)(), exact, rtol=1e-6)


def test_a_peer_that_computes_something_else_stops_the_run() -> None:
    job = jobs.Job("small", "box", "3", "float32", "float32", shape=(12, 14))
    image = job.image
    assert tables.difference(job, "peer", image, image) == 0
    with pytest.raises(SystemExit, match="peer computes something else"):
        tables.difference(job, "peer", image, image + 1)
