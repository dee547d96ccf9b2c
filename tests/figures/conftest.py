import matplotlib as mpl
import pytest

mpl.use("agg")


@pytest.fixture(autouse=True)
def leaves_pyplot_alone(monkeypatch):
    """No figure function may show anything or leave a figure registered."""
    import matplotlib.pyplot as plt

    def shown(*_args, **_kwargs):
        raise AssertionError("show was called")

    monkeypatch.setattr(plt, "show", shown)
    monkeypatch.setattr(mpl.figure.Figure, "show", shown)
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture
def user_axes():
    """Axes in a figure of the user's own, made with pyplot."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(4, 3))
    yield ax
    plt.close(figure)
