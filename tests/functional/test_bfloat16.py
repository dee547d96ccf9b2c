"""bfloat16 where its package is absent."""

import sys

import numpy as np
import pytest

import striderule as sr
from striderule.errors import InvalidType, MissingExtra
from striderule.functional.bfloat16 import promoted


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(
        MissingExtra, match=r"ml_dtypes is not installed; it comes with: pip install 'striderule\[bfloat16\]'"
    ):
        sr.conv1d([1.0, 2.0], [1.0], dtype="bfloat16")


def test_other_types_of_two_bytes_are_refused():
    with pytest.raises(InvalidType, match="x has the element type"):
        sr.conv1d(np.zeros((1, 1, 4), "V2"), [[[1.0]]])


def test_other_types_are_promoted_as_ever():
    for one in "?bhilefd":
        for other in "?bhilefdFD":
            assert promoted(np.dtype(one), np.dtype(other)) == np.promote_types(one, other)
