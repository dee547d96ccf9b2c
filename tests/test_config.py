"""What the library says about the machine."""

import json
import os
import platform

import numpy as np

import striderule
from striderule import config


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
