"""Costs of image filters: what decides between products and passes does not depend on how large the image is."""

import pytest

from striderule.geometry.problem import Convolution
from striderule.planning import choose
from striderule.planning.forms import KernelForm, Rank

STORED = [("float32", "float32"), ("uint8", "uint8"), ("uint8", "float32"), ("float32", "uint8")]


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("padding", [0, "same", "full"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_images_of_every_size_are_filtered_alike(stored, padding, stride):
    chosen = set()
    for kernel in [(3, 3), (3, 9), (5, 5), (7, 7), (9, 9), (15, 15), (1, 21), (21, 1)]:
        for ranks in ((Rank(1),), (Rank(2),), (Rank(3), Rank(4))):
            form = KernelForm(kernel, kernel[0] * kernel[1], ranks=ranks)
            pads = [(k - 1, k - 1) for k in kernel] if padding == "full" else padding
            found = set()
            for size in [(400, 300), (120, 2000), (1100, 100), (3000, 4000), (30000, 50000)]:
                words = {"zero_taps": "skip", "padding": pads, "stride": stride, "stored": stored, "form": form}
                problem = Convolution.from_shapes((1, 1, *size), (1, 1, *kernel), **words)
                if problem.multiply_adds < 100_000 or (padding == "same" and stride > 1):
                    continue
                plan = choose(problem)
                if plan.algorithm != "fourier":  # whose tiles suit some sizes better than others
                    found.add((plan.algorithm, plan.variant))
            assert len(found) <= 1, (kernel, ranks, found)
            chosen |= found
    if padding != "same" or stride == 1:
        assert {name for name, _ in chosen} == {"stencil", "separable"}
