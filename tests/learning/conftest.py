"""The digits, read once."""

import pytest

from striderule.learning import digits


@pytest.fixture(scope="session")
def both():
    """The digits to learn from and those held out; scikit-learn comes with the extra ``test``."""
    pytest.importorskip("sklearn.datasets")
    return digits.load()
