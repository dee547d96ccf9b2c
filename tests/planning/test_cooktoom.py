"""The transforms of Toom, Cook and Winograd are exact, and their programs apply them."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from striderule.planning.cooktoom import POINTS, cook_toom, program

SIZES = [(m, r) for m in range(1, 7) for r in range(1, 8) if m + r - 2 in POINTS]


def drawn(rng, *shape):
    """Return exact fractions."""
    numbers = [
        Fraction(int(a), int(b))
        for a, b in zip(rng.integers(-99, 99, shape).flat, rng.integers(1, 9, shape).flat, strict=True)
    ]
    return np.array(numbers, object).reshape(shape)


def correlated(x, w):
    """Return the definition, in exact numbers."""
    return [sum(tap * x[j + a] for a, tap in enumerate(w)) for j in range(len(x) - len(w) + 1)]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_one_axis_is_exact(m, r):
    rng = np.random.default_rng(m * 10 + r)
    found = cook_toom(m, r)
    at, g, bt = (np.array(matrix, object) for matrix in (found.at, found.g, found.bt))
    assert (at.shape, g.shape, bt.shape) == ((m, m + r - 1), (m + r - 1, r), (m + r - 1, m + r - 1))
    x, w = drawn(rng, m + r - 1), drawn(rng, r)
    assert list(at @ ((g @ w) * (bt @ x))) == correlated(x, w)


@pytest.mark.parametrize(("down", "across"), [((2, 3), (2, 3)), ((4, 3), (4, 3)), ((2, 7), (4, 2)), ((1, 1), (4, 5))])
def test_two_axes_nest(down, across):
    rng = np.random.default_rng(1)
    one, other = cook_toom(*down), cook_toom(*across)
    at, g, bt = ([np.array(getattr(each, word), object) for each in (one, other)] for word in ("at", "g", "bt"))
    x, w = drawn(rng, one.inputs, other.inputs), drawn(rng, one.kernel, other.kernel)
    got = at[0] @ ((g[0] @ w @ g[1].T) * (bt[0] @ x @ bt[1].T)) @ at[1].T
    for i, j in itertools.product(range(one.outputs), range(other.outputs)):
        assert got[i, j] == (x[i : i + one.kernel, j : j + other.kernel] * w).sum()


@pytest.mark.parametrize(("m", "r"), SIZES)
@pytest.mark.parametrize("word", ["input_program", "weight_program", "output_program"])
def test_programs_apply_their_matrix(m, r, word):
    rng = np.random.default_rng(2)
    found = cook_toom(m, r)
    matrix = {"input_program": found.bt, "weight_program": found.g, "output_program": found.at}[word]
    steps = getattr(found, word)
    values = drawn(rng, len(matrix[0]))
    assert steps(list(values)) == list(np.array(matrix, object) @ values)
    # No more than term by term, of which the first costs a step unless it is one.
    plain = sum(sum(map(bool, row)) - 1 + (1 not in row) for row in matrix)
    assert steps.operations <= plain


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_coefficients_of_inputs_and_outputs_are_exact_floats(m, r):
    found = cook_toom(m, r)
    for steps in (found.input_program, found.output_program):
        assert all(Fraction(np.float32(float(step.factor)).item()) == step.factor for step in steps.steps)


def test_what_is_shared_is_computed_once():
    # Lavin and Gray count 12 and 10 additions and multiplications for F(4, 3) at other points; 4 and 4 for F(2, 3).
    assert [cook_toom(m, 3).input_program.operations for m in (2, 4)] == [4, 12]
    assert [cook_toom(m, 3).output_program.operations for m in (2, 4)] == [4, 12]
    assert program(((Fraction(0), Fraction(0)),)).outputs == (None,)


def test_the_points_are_better_than_those_of_the_literature():
    """0, 1, -1, 2, -2 are Lavin and Gray's; 0, 1, -1, 1/2, -2 those that Barabasz et al. found."""
    found = cook_toom(4, 3)
    for points in ((0, 1, -1, 2, -2), (0, 1, -1, Fraction(1, 2), -2)):
        other = cook_toom(4, 3, points)
        assert (other.random, other.single) > (found.random, found.single)


def test_growth_is_that_of_the_definition_where_nothing_is_transformed():
    assert (cook_toom(1, 1).random, cook_toom(1, 1).single) == (1, 1)


@pytest.mark.parametrize("points", [(0, 1), (0, 1, 1), (0, 1, 2, 3)])
def test_points_that_do_not_fit_are_refused(points):
    with pytest.raises(ValueError, match="distinct points"):
        cook_toom(2, 3, points)
