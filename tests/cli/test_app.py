"""The command as a whole: help, version, start-up, the tour and the configuration."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import striderule
from striderule import config
from striderule.errors import InvalidArgument

COMMANDS = ("filter", "shape", "kernel", "train", "predict", "tour", "config")


def python(*words, **options):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False, **options)


def test_help_of_the_whole(command):
    for words in ((), ("--help",)):
        result = command(*words)
        assert result.exit_code == 0
        assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(command, name):
    result = command(name, "--help")
    assert result.exit_code == 0
    assert f"striderule {name}" in result.stdout.partition("Examples")[2]
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_version(command):
    assert command("--version").stdout == f"striderule {striderule.__version__}\n"


def test_unknown_command(refused):
    assert refused("fliter").lower().startswith("no such command 'fliter'")


def test_module_equals_command(tmp_path):
    script = Path(sys.executable).with_name("striderule")
    words = ("shape", "224", "conv:7,s2,p3")
    module = python("-m", "striderule", *words, cwd=tmp_path)
    assert module.returncode == 0, module.stderr
    if script.exists():
        done = subprocess.run([script, *words], capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == module.stdout
    wrong = python("-m", "striderule", "shape", "224", "conv:x")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_names_it(missing):
    program = f"import sys; sys.modules[{missing!r}] = None\nfrom striderule.__main__ import main\nmain()"
    done = python("-c", program)
    assert done.returncode == 2
    assert done.stderr == f"striderule: {missing} is not installed; it comes with: pip install 'striderule[cli]'\n"


@pytest.mark.parametrize(("module", "package"), [("PIL", "pillow"), ("tifffile", "tifffile")])
def test_without_a_picture_package_one_line_names_it(module, package):
    program = f"import sys; sys.modules[{module!r}] = None\nfrom striderule.__main__ import main\nmain()"
    done = python("-c", program, "filter", "in.png", "out.png", "--kernel", "box:3")
    assert done.returncode == 2
    assert done.stderr == f"striderule: {package} is not installed; it comes with: pip install 'striderule[cli]'\n"


def test_start_up_imports_little():
    program = (
        "import sys; import striderule.cli.app\n"
        "print([name for name in ('numpy', 'PIL', 'tifffile', 'matplotlib', 'nbformat') if name in sys.modules])"
    )
    assert python("-c", program).stdout == "[]\n"


def test_a_slip_of_ours_is_not_hidden(command, monkeypatch):
    def slip():
        raise ZeroDivisionError

    monkeypatch.setattr(config, "config", slip)
    with pytest.raises(ZeroDivisionError):
        command("config")


def test_memory_that_does_not_suffice(refused, monkeypatch):
    def slip():
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(config, "config", slip)
    assert refused("config") == "not enough memory: Unable to allocate 9 TiB"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("words", [["config"], ["kernel", "sobel", "--json"]])
def test_a_full_disk_behind_the_output(words):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "striderule", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "striderule: what was to be printed cannot be written or read: No space left on device\n"


def test_config(command):
    said = command("config").stdout
    assert striderule.__version__ in said
    assert "cores" in said
    assert "in matrix products" in " ".join(said.split())
    assert json.loads(command("config", "--json").stdout) == config.config()


def test_config_measures_and_forgets_where_asked(command, monkeypatch):
    asked = []
    usual = config.config()
    rates = {"threads": 2, "peaks": {"float32": 1e11}, "bandwidths": {"1": 1e10}, "call": 1e-6}
    measured = usual | {"code": usual["code"] | {"rates": rates}}
    monkeypatch.setattr(config, "calibrate", lambda: asked.append("calibrate") or measured)
    monkeypatch.setattr(config, "forget", lambda: asked.append("forget") or 1)
    said = " ".join(command("config", "--calibrate").stdout.split())
    assert "measured 100 GFLOP/s in float32 a core; copies 10 GB/s with 1 thread; a call 1.0 µs" in said
    command("config", "--forget")
    command("config")
    assert asked == ["calibrate", "forget"]


def test_config_says_in_one_line_what_cannot_be(refused, monkeypatch):
    assert "opposites" in refused("config", "--calibrate", "--forget")

    def full():
        raise OSError("no space left")

    monkeypatch.setattr(config, "calibrate", full)
    assert refused("config", "--calibrate") == "what was measured cannot be kept: no space left"


@pytest.fixture
def built(monkeypatch):
    """Stand in for the building of the tour; give what it was asked for."""
    asked = {}

    def build(out, image=None, chapter=None, progress=None):
        asked.update(out=out, image=image, chapter=chapter)
        if image is not None and not Path(image).exists():
            raise InvalidArgument(f"image {image} does not exist")
        progress(1, 2, "Sliding [a] window")
        progress(2, 2, "Stride")
        return Path(out) / "index.html"

    monkeypatch.setattr(striderule.tour, "build", build)
    return asked


def test_tour_delegates(command, built, tmp_path):
    result = command("tour", "--out", "my tour", "--chapter", 3)
    assert result.exit_code == 0, result.output
    assert built == {"out": Path("my tour"), "image": None, "chapter": 3}
    assert "Sliding [a] window" in result.stdout
    assert (tmp_path / "my tour" / "index.html").resolve().as_uri() in result.stdout


def test_tour_refusals(refused, built):
    assert refused("tour", "--image", "gone.jpg") == "image gone.jpg does not exist"
    assert "invalid value for '--chapter'" in refused("tour", "--chapter", 16)
