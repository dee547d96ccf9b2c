"""A short training, its file, and what is refused."""

import json

import numpy as np
import pytest

from striderule import nn, set_num_threads
from striderule.codegen.workers import get_num_threads
from striderule.errors import InvalidArgument
from striderule.learning import recogniser
from striderule.learning.digits import Digits


@pytest.fixture(scope="module")
def trained(both):
    """Two times through all digits."""
    return recogniser.train(*both, seed=3, epochs=2, progress=False)


def test_a_short_training_reads_most_digits(trained):
    assert trained.accuracy > 0.85
    assert trained.history["loss"][-1] < 0.5 * trained.history["loss"][0]
    assert len(trained.mistakes) == round((1 - trained.accuracy) * len(trained.test))
    assert (trained.answers[trained.mistakes] != trained.test.classes[trained.mistakes]).all()
    surest = trained.probabilities[trained.mistakes].max(axis=1)
    assert (np.diff(surest) <= 0).all()
    np.testing.assert_allclose(trained.probabilities.sum(axis=1), 1, rtol=1e-5)


def test_a_model_comes_back_from_its_file(trained, tmp_path):
    recogniser.save(trained, tmp_path / "m.safetensors")
    model = recogniser.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(recogniser.probabilities(model, trained.test.pictures), trained.probabilities)
    said = json.loads(nn.read_tensors(tmp_path / "m.safetensors")[1]["striderule"])
    assert said["network"] == "lenet5"
    assert said["seed"] == 3
    assert "8x8" in said["preprocessing"]


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    few = Digits(rng.random((100, 8, 8)).astype(np.float32), rng.integers(0, 10, 100))
    files, before = [], get_num_threads()
    try:
        for threads, seed in ((1, 5), (2, 5), (2, 6)):
            set_num_threads(threads)
            path = tmp_path / f"{threads}-{seed}.safetensors"
            recogniser.save(recogniser.train(few, few, seed=seed, epochs=1, progress=False), path)
            files.append(path.read_bytes())
    finally:
        set_num_threads(before)
    assert files[0] == files[1]
    assert files[1] != files[2]


def test_other_files_are_refused(tmp_path):
    nn.save(recogniser.network(0), tmp_path / "bare.safetensors")
    with pytest.raises(InvalidArgument, match="is no model of digits"):
        recogniser.load(tmp_path / "bare.safetensors")
    nn.write_tensors(tmp_path / "odd.safetensors", {}, {"striderule": "[1]"})
    with pytest.raises(InvalidArgument, match="is no model of digits"):
        recogniser.load(tmp_path / "odd.safetensors")
    with pytest.raises(InvalidArgument, match="does not exist; striderule train digits makes one"):
        recogniser.load(tmp_path / "gone.safetensors")
    with pytest.raises(InvalidArgument, match="is a folder"):
        recogniser.load(tmp_path)
    (tmp_path / "text.safetensors").write_text("dear all")
    with pytest.raises(InvalidArgument, match="no whole safetensors file"):
        recogniser.load(tmp_path / "text.safetensors")
