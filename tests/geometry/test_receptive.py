"""Receptive fields against sets of positions carried from the output back to the input."""

import random

import pytest

from striderule.errors import InvalidArgument
from striderule.geometry import ReceptiveField, Window, receptive_field


def seen_by(chain, position):
    """Return the input positions that one output of a chain of (kernel, stride, dilation, padding before) reads."""
    positions = {position}
    for kernel, stride, dilation, before in reversed(chain):
        positions = {j * stride + t * dilation - before for j in positions for t in range(kernel)}
    return positions


def test_drawn_chains_see_what_their_windows_reach():
    draw = random.Random(1)
    for _ in range(400):
        chain = [
            (draw.randint(1, 5), draw.randint(1, 3), draw.randint(1, 3), draw.randint(-2, 4))
            for _ in range(draw.randint(0, 5))
        ]
        field = receptive_field(Window(k, s, d, ((p, draw.randint(0, 3)),)) for k, s, d, p in chain)
        for position in (0, 1, 7):
            seen = seen_by(chain, position)
            assert field.interval(0, position) == (min(seen), max(seen) + 1)
        assert field.size == (max(seen) - min(seen) + 1,)


def test_an_empty_chain_sees_itself():
    assert receptive_field([]) == ReceptiveField((1,), (1,), (0,))


def test_axes_are_kept_apart():
    field = receptive_field([Window((3, 5), (1, 2), padding=(1, (2, 0))), Window(3, padding=1)])
    assert field == ReceptiveField((5, 9), (1, 2), (-2, -4))
    assert field.interval(1, 10) == (16, 25)


@pytest.mark.parametrize(
    ("layers", "size", "stride"),
    [  # published sizes: Araujo, Norris and Sim, Distill 2019, table of networks
        ("alexnet", 195, 32),
        ("vgg16", 212, 32),
    ],
)
def test_published_networks(layers, size, stride):
    conv3, pool2 = Window(3, 1, padding=1), Window(2, 2)
    networks = {
        "alexnet": [
            Window(11, 4, padding=2),
            Window(3, 2),
            Window(5, 1, padding=2),
            Window(3, 2),
            *[conv3] * 3,
            Window(3, 2),
        ],
        "vgg16": [*[conv3] * 2, pool2, *[conv3] * 2, pool2, *([*[conv3] * 3, pool2] * 3)],
    }
    field = receptive_field(networks[layers])
    assert (field.size, field.stride) == ((size,), (stride,))


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ([Window(0)], "kernel must be at least 1 in every axis, got 0"),
        ([Window(3, (1, 0))], r"stride must be at least 1 in every axis, got \(1, 0\)"),
        ([Window(3, dilation=0)], "dilation must be at least 1"),
        ([Window((3, 3)), Window((3, 3, 3))], r"all layers of a chain must have the same number of axes, got \[2, 3\]"),
        ([Window((3, 3), padding=(1, 2, 3))], "same number of axes"),
    ],
)
def test_refusals(chain, message):
    with pytest.raises(InvalidArgument, match=message):
        receptive_field(chain)
