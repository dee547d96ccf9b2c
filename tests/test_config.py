"""What the library says about the machine."""

import json
import os
import platform

import numpy as np
import pytest

import striderule
from striderule import config
from striderule.codegen import probe, rates
from striderule.codegen.rates import Rates
from striderule.errors import CompilationFailed
from striderule.functional import planned


def test_config_is_plain_data():
    found = config.config()
    assert json.loads(json.dumps(found)) == found
    assert found["striderule"] == striderule.__version__
    assert found["numpy"] == np.__version__
    assert found["python"].startswith(platform.python_version())
    assert found["threads"]["cores"] == (os.cpu_count() or 1)
    assert 1 <= found["threads"]["usable"] <= found["threads"]["cores"]
    assert found["threads"]["routines"] == striderule.get_num_threads()
    assert found["processor"]["name"]


def test_threads_of_matrix_products(monkeypatch):
    for variable in {name for names in config.LIMITS.values() for name in names}:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(config, "usable_cores", lambda: 6)
    blas = {"Build Dependencies": {"blas": {"name": "scipy-openblas"}}}
    monkeypatch.setattr(config.np, "show_config", lambda mode: blas)
    assert config._products() == {"products": 6, "library": "scipy-openblas", "limit": None}
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert config._products() == {"products": 4, "library": "scipy-openblas", "limit": "OMP_NUM_THREADS"}
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "64")
    assert config._products() == {"products": 6, "library": "scipy-openblas", "limit": "OPENBLAS_NUM_THREADS"}
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "many")
    assert config._products()["products"] == 4
    monkeypatch.setattr(config.np, "show_config", lambda mode: None)
    assert config._products() == {"products": 6, "library": "unknown", "limit": None}


def test_threads_are_printed():
    found = config.config()
    found["threads"] = {"cores": 8, "usable": 6, "routines": 5, "said_by": None}
    found["threads"] |= {"products": 4, "library": "mkl", "limit": "MKL_NUM_THREADS"}
    said = dict(config.lines(found))
    assert said["cores"] == "8, 6 of them usable here"
    products = "up to 4 in matrix products (mkl, as MKL_NUM_THREADS says), 1 in everything else"
    assert said["threads"] == f"up to 5 in compiled routines, {products}"
    found["threads"]["said_by"] = "STRIDERULE_NUM_THREADS"
    said = dict(config.lines(found))
    assert said["threads"] == f"up to 5 in compiled routines (as STRIDERULE_NUM_THREADS says), {products}"


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(config.EXTRAS, "cli", ("surely-not-installed",))
    found = config.config()
    assert found["extras"]["cli"] == {"surely-not-installed": None}
    assert ("extra cli", "surely-not-installed missing") in config.lines(found)


def test_show_config_prints_it(capsys):
    striderule.show_config()
    printed = capsys.readouterr().out
    assert printed.startswith(f"striderule     {striderule.__version__}\n")
    assert len(printed.splitlines()) == len(config.lines(config.config()))


def test_processor_from_the_kernel_s_list(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nmodel name\t: Some CPU @ 3 GHz\nflags : a b\n")
    assert config._from_cpuinfo(path) == "Some CPU @ 3 GHz"
    path.write_text("processor : 0\n")
    assert config._from_cpuinfo(path) is None
    assert config._from_cpuinfo(tmp_path / "none") is None


def test_other_systems_answer_too(monkeypatch):
    monkeypatch.setattr(config.sys, "platform", "win32")
    monkeypatch.delattr(config.os, "sched_getaffinity", raising=False)
    found = config.config()
    assert found["processor"]["name"] == (platform.processor() or platform.machine())
    assert found["threads"]["usable"] == found["threads"]["cores"]


@pytest.fixture
def own_rates(tmp_path, monkeypatch):
    """A folder without rates, and bursts that take no time."""
    monkeypatch.setenv("STRIDERULE_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setattr(probe, "BURSTS", 1)
    monkeypatch.setattr(probe, "BURST", 1e-4)
    monkeypatch.setattr(probe, "FAR", 1 << 20)
    planned.look_again()
    yield
    monkeypatch.undo()
    planned.look_again()


@pytest.mark.usefixtures("own_rates")
def test_calibration_is_shown_and_forgotten():
    assert config.config()["code"]["rates"] is None
    assert "--calibrate" in dict(config.lines(config.config()))["measured"]
    found = config.calibrate()
    assert json.loads(json.dumps(found)) == found
    assert found["code"]["rates"]["peaks"].keys() == {"float32", "float64"}
    assert "GFLOP/s in float32" in dict(config.lines(found))["measured"]
    assert config.config() == found
    assert config.forget() == 1
    assert config.config()["code"]["rates"] is None


@pytest.mark.usefixtures("own_rates")
def test_calibration_changes_predictions_and_never_the_choice():
    call = (striderule.conv2d, striderule.Array((1, 16, 24, 24)), striderule.Array((16, 16, 3, 3)))
    usual = striderule.explain(*call)
    # A machine on which generated code would be the worst of choices, if rates decided.
    slow = Rates(usual.machine.name, 1, (("float32", 1e3), ("float64", 1e3)), ((1, 1e3),), 1.0)
    rates.keep(slow)
    planned.look_again()
    slower = striderule.explain(*call)
    assert slower.machine.peak("float32") == 1e3 * slower.machine.cores
    assert (slower.machine.bandwidth, slower.machine.call) == (1e3, 1.0)
    assert slower.cost.seconds > 1e3 * usual.cost.seconds
    assert slower.algorithm == usual.algorithm
    assert slower.machine.model == usual.machine.model


@pytest.mark.usefixtures("own_rates")
def test_a_call_measures_nothing(monkeypatch):
    measured = []
    monkeypatch.setattr(probe, "measure", lambda *words: measured.append(words))
    striderule.conv2d(np.ones((1, 4, 8, 8), np.float32), np.ones((4, 4, 3, 3), np.float32))
    assert measured == []


def test_config_without_machine_code(monkeypatch):
    def none():
        raise CompilationFailed("no routines are made for this")

    monkeypatch.setattr(config, "current", none)
    found = config.config()
    assert found["code"] == {"target": None, "reason": "no routines are made for this", "rates": None}
    assert dict(config.lines(found))["code for"] == "nothing: no routines are made for this"
