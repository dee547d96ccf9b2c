"""Many output channels.

One kernel gives one map; several kernels, each sliding over the same image, give a stack of maps.
"""

# %% [markdown]
# The deck's `multi_kernel_convolve2d(image, kernels)` applies three kernels: one that finds edges, one that
# sharpens, one that blurs. Each asks its own question of every place, and the answers are stacked. A layer of a
# network does the same, only that it *learns* its kernels.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5), dtype=int)
image[1:4, 1:4] = 1
kernels = np.array(
    [
        [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],  # edge
        [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],  # sharpen
        np.full((3, 3), 1 / 9),  # blur
    ]
)
names = ["edge", "sharpen", "blur"]

maps = sr.filters.bank(image, kernels, mode="valid")
for name, one in zip(names, maps, strict=True):
    print(name, one.round(4), sep="\n")

# %% figure: The three kernels and their three maps.
# kernels: The edge kernel, 8 among minus ones; the sharpening kernel, 5 in a cross of minus ones; the blurring
#   kernel, nine times one ninth.
# maps: Three maps of three by three cells, one for each kernel.
tour.show(
    kernels=sr.figures.feature_maps(kernels, titles=names, cmap="signed"),
    maps=sr.figures.feature_maps(maps, titles=names),
)

# %% shape
print(tour.shape_formula(image.shape, 3))
print(f"maps = number of kernels = {len(kernels)}")

# %% [markdown]
# ## On the photograph
#
# The same three kernels ask a photograph: where are its edges, how would it look sharper, and how softer? With the
# default `mode="same"` the maps keep its size.

# %%
grey = tour.photograph().mean(axis=2)
answers = sr.filters.bank(grey, kernels)
print(grey.shape, "->", answers.shape)

# %% figure: The photograph and the three answers: sharpening adds edges to the picture, blurring takes detail away.
# photograph: The photograph in shades of grey.
# edge: The edges of the photograph as thin lines on white.
# sharpen: The photograph with crisper detail.
# blur: The photograph slightly out of focus.
tour.show(
    photograph=sr.figures.image(grey, vmin=0, vmax=1, title="grey"),
    edge=sr.figures.image(answers[0], cmap="signed", vmin=-1, vmax=1, title="edge"),
    sharpen=sr.figures.image(answers[1], vmin=0, vmax=1, title="sharpen"),
    blur=sr.figures.image(answers[2], vmin=0, vmax=1, title="blur"),
)

# %% check
crop = grey[-20:, -20:]
crop_loops = [sr.correlate(crop, one, mode="valid", algorithm="reference") for one in kernels]
checks = tour.compare(
    deck=(maps, np.stack([sr.correlate(image, one, mode="valid", algorithm="reference") for one in kernels])),
    photograph=(answers[:, -19:-1, -19:-1], np.stack(crop_loops)),
)
