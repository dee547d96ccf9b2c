"""``striderule train digits`` and ``striderule predict``."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striderule.learning import digits

pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Run a training of few epochs with two seeds, once: its folder and what it printed."""
    from typer.testing import CliRunner

    from striderule.cli.app import app

    place = tmp_path_factory.mktemp("trained") / "it's here"
    words = ["train", "digits", "--epochs", "2", "--seeds", "2", "--seed", "4", "--out", str(place)]
    result = CliRunner().invoke(app, words, prog_name="striderule", catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return place, result


def test_the_last_line_is_the_mean(done):
    lines = done[1].stdout.splitlines()
    accuracies = [float(line.split()[3]) for line in lines if line.strip().startswith("│")]
    assert len(accuracies) == 2
    assert min(accuracies) > 85
    assert lines[-1] == f"mean test accuracy over 2 seeds: {sum(accuracies) / 2:.1f} %"
    assert (done[0] / "index.html").as_uri() in done[1].stdout
    assert "epoch 2: " in done[1].stderr


def test_the_page_shows_what_was_learned(done):
    page = (done[0] / "index.html").read_text(encoding="utf-8")
    for words in (
        "How it learned",
        "What the kernels became",
        "What it mistakes",
        "2 seeds",
        "CC BY 4.0",
        "read wrong",
    ):
        assert words in page
    assert page.count("<img") == 7
    figures = {path.name for path in (done[0] / "figures").iterdir()}
    assert figures == {f"{name}.png" for name in ("loss", "accuracy", "first", "second", "close", "digits", "mistakes")}
    assert not [path for path in done[0].rglob("*") if path.name.startswith(".")]


def test_the_same_seed_writes_the_same_model(done, command):
    result = command("train", "digits", "--epochs", 2, "--seed", 4, "--out", "again", "--model", "m.safetensors", "-q")
    assert result.stdout.splitlines()[-1].startswith("test accuracy: ")
    assert len(result.stdout.splitlines()) == 1
    assert Path("m.safetensors").read_bytes() == (done[0] / "model.safetensors").read_bytes()


@pytest.fixture
def held_out():
    """Five pictures of digits that were held out, of different digits."""
    _, test = digits.load()
    return [(int(d), test.pictures[np.flatnonzero(test.classes == d)[3]]) for d in (0, 2, 4, 6, 7)]


def test_predict_reads_pictures_of_any_size_and_kind(done, command, held_out):
    model, names = done[0] / "model.safetensors", []
    for digit, picture in held_out:
        grey = Image.fromarray(np.uint8(np.rint(255 * picture)))
        dark = Image.fromarray(255 - np.asarray(grey)).resize((200, 200), Image.Resampling.BICUBIC)
        page = Image.new("RGB", (300, 400), "white")
        page.paste(dark, (60, 120))
        page.save(f"{digit}-page.jpg", quality=90)
        grey.save(f"{digit}-small.png")
        clear = Image.merge("LA", [Image.new("L", (200, 200), 0), Image.eval(dark, lambda level: 255 - level)])
        clear.save(f"{digit}-clear.png")
        names += [f"{digit}-page.jpg", f"{digit}-small.png", f"{digit}-clear.png"]
    answers = json.loads(command("predict", model, *names, "--json").stdout)
    assert [answer["picture"] for answer in answers] == names
    assert [answer["digit"] for answer in answers] == [int(name[0]) for name in names]
    for answer in answers:
        assert sum(answer["probabilities"]) == pytest.approx(1, rel=1e-5)
        assert int(np.argmax(answer["probabilities"])) == answer["digit"]
    one = command("predict", model, names[0]).stdout
    assert one.splitlines()[0] == f"{names[0]}: 0"
    assert one.count("%") == 10
    several = command("predict", model, *names[:2]).stdout
    assert several.count("%") == 4


def test_predict_refuses(done, refused, command):
    model = done[0] / "model.safetensors"
    Image.new("L", (30, 30), 9).save("empty.png")
    assert refused("predict", model, "empty.png") == "empty.png: the picture shows no digit: all its pixels are alike"
    assert refused("predict", model, "gone.png") == "gone.png does not exist"
    assert "the model gone.safetensors does not exist" in refused("predict", "gone.safetensors", "empty.png")
    assert "is no whole safetensors file" in refused("predict", "empty.png", "empty.png")


def test_train_refuses(refused, command):
    assert "must name a .safetensors file, got m.pth" in refused("train", "digits", "--model", "m.pth")
    assert "the folder gone does not exist" in refused("train", "digits", "--model", "gone/m.safetensors")
    assert "invalid value for '--epochs'" in refused("train", "digits", "--epochs", 0)
