"""Training: one batch to zero loss, the same bits, crashes and going on."""

import contextlib

import numpy as np
import pytest

import striderule as sr
from striderule import nn
from striderule.errors import InvalidArgument, InvalidType
from striderule.nn import training


class Noise(nn.Layer):
    """Adds noise in training, as a layer of chance."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def forward(self, x):
        return x + self.generator.standard_normal(x.shape, np.float32) * np.float32(0.01) if self.training else x

    def backward(self, gy):
        return gy


def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, activation="relu", seed=rng),
        Noise(rng),
        nn.Conv2d(8, 16, 3, stride=2, seed=rng),
        nn.Tanh(),
        nn.Conv2d(16, 3, 3, seed=rng),
        nn.Flatten(),
    )


def examples(count=12):
    rng = np.random.default_rng(1)
    return rng.standard_normal((count, 1, 7, 7), dtype=np.float32), rng.integers(0, 3, count)


def entropy(outputs, targets):
    """Cross entropy and its gradient, written out."""
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    right = np.arange(len(targets)), targets
    gradient = chances.copy()
    gradient[right] -= 1
    return -np.log(chances[right]).mean(), gradient / len(targets)


def squares(outputs, targets):
    return ((outputs - targets) ** 2).mean(), 2 * (outputs - targets) / outputs.size


def trained(epochs=3, **words):
    model = network()
    optimiser = nn.SGD(model, 0.05, 0.9, nesterov=True)
    given = {"loss": entropy, "batch_size": 5, "seed": 3, "progress": False, "schedule": nn.CosineSchedule(6)} | words
    return model, nn.fit(model, examples(), optimiser=optimiser, epochs=epochs, **given)


def assert_same(one, other):
    assert one.state().keys() == other.state().keys()
    for name, value in one.state().items():
        np.testing.assert_array_equal(value, other.state()[name])


def test_one_batch_to_zero_loss():
    layers = [layer for layer in network() if not isinstance(layer, Noise)]
    model = nn.Sequential(*layers)
    optimiser = nn.SGD(model, 0.5, 0.9, nesterov=True)
    words = {"epochs": 60, "batch_size": 12, "seed": 0, "progress": False}
    history = nn.fit(model, examples(), loss=sr.cross_entropy, optimiser=optimiser, **words)
    # Float32 knows no smaller steps from a probability of 1 than 6e-8.
    assert history["loss"][-1] < 1e-5
    assert history["accuracy"][-1] == 1
    assert history["loss"][0] > 0.8
    assert not model.training
    assert model[0].input_gradient


def test_history_and_validation():
    model, history = trained(2, validation=examples(7))
    assert [set(epoch) for epoch in history.epochs] == [
        {"epoch", "lr", "loss", "accuracy", "validation_loss", "validation_accuracy", "seconds"}
    ] * 2
    x, targets = examples(7)
    outputs = nn.predict(model, x, batch_size=3)
    assert outputs.shape == (7, 3)
    assert history["validation_accuracy"][-1] == (outputs.argmax(axis=1) == targets).mean()
    assert history["validation_loss"][-1] == pytest.approx(float(entropy(outputs, targets)[0]), rel=1e-6)
    assert str(history).startswith("epoch 1: lr ")


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads():
    before = sr.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3):
            sr.set_num_threads(threads)
            found.append(trained(2)[0])
    finally:
        sr.set_num_threads(before)
    assert_same(found[0], found[1])
    assert_same(found[0], found[2])


def test_going_on_from_a_checkpoint_gives_the_same_bits(tmp_path):
    path = tmp_path / "run.safetensors"
    whole, history = trained(4)
    trained(2, checkpoint=path)
    model, again = trained(4, checkpoint=path)
    assert_same(model, whole)
    assert again["loss"] == history["loss"]
    assert len(trained(4, checkpoint=path)[1]) == 4  # nothing is left to do


@pytest.mark.parametrize("crash", ["writing", "in an epoch"])
def test_a_crash_loses_nothing(crash, tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    whole, _ = trained(4)
    calls = []

    def failing(*args, **words):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write(*args, **words)

    if crash == "writing":
        write, words = training.write_tensors, {}
        monkeypatch.setattr(training, "write_tensors", failing)
    else:
        words = {"loss": lambda *both: failing(*both)}
        write = entropy
        calls.extend([1] * -4)
    with contextlib.suppress(KeyboardInterrupt):
        trained(4, checkpoint=path, **words)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] in (["run.safetensors"], [])
    model, _ = trained(4, checkpoint=path)
    assert_same(model, whole)


def test_augmentation_draws_from_the_seed():
    def flipped(x, rng):
        return x[..., ::-1] if rng.random() < 0.5 else x

    first, second = (trained(2, augment=flipped)[0] for _ in range(2))
    assert_same(first, second)
    assert not np.array_equal(first[0].weight, trained(2)[0][0].weight)


def test_lines_where_there_is_no_terminal(capsys):
    trained(2, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line[:8] for line in lines] == ["epoch 1:", "epoch 2:"]


def test_regression_has_no_accuracy():
    model = nn.PReLU()
    x = np.linspace(-1, 0, 20).reshape(-1, 1)
    history = nn.fit(model, (x, 0.5 * x), loss=squares, epochs=40, optimiser=nn.SGD(model, 0.5), seed=0, progress=False)
    assert history["accuracy"] == []
    assert history["loss"][-1] < 1e-6


def test_refusals(tmp_path):
    path = tmp_path / "run.safetensors"
    trained(1, checkpoint=path)
    with pytest.raises(InvalidArgument, match="has batch_size 5, and this training 4"):
        trained(2, checkpoint=path, batch_size=4)
    model = network()
    with pytest.raises(InvalidArgument, match="has optimiser SGD, and this training AdamW"):
        nn.fit(model, examples(), loss=entropy, batch_size=5, checkpoint=path, progress=False)
    with pytest.raises(InvalidArgument, match="as many inputs as targets"):
        nn.fit(model, (np.ones((2, 1, 7, 7)), [1]), loss=entropy)
    with pytest.raises(InvalidType, match="data must be two arrays"):
        nn.fit(model, np.ones(3), loss=entropy)
    with pytest.raises(InvalidType, match="loss must be a differentiable function"):
        nn.fit(model, examples(), loss=lambda outputs, targets: 1.0, progress=False)
    with pytest.raises(InvalidArgument, match="the loss is nan in epoch 1"):
        nn.fit(model, examples(), loss=lambda outputs, targets: (np.nan, outputs), progress=False)
    with pytest.raises(InvalidArgument, match="epochs must be at least 1, got 0"):
        nn.fit(model, examples(), loss=entropy, epochs=0)
