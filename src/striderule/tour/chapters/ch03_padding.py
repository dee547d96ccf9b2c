"""Padding.

A border around the image lets the kernel stand on every pixel, so that the result keeps the size of the image.
"""

# %% [markdown]
# Without padding the result loses a pixel on every side. The deck's `pad_image(image, pad_width)` adds a border
# of zeros first; here that is `sr.pad(image, 1)`. Correlating the padded image gives five by five numbers again.
# The border is not free: the zeros are *invented* pixels, and the result sees an edge between them and the image.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5), dtype=int)
image[1:4, 1:4] = 1
kernel = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])

padded = sr.pad(image, 1)
result = sr.correlate(padded, kernel, mode="valid")
print(padded)
print(result)
print("in one step:", np.array_equal(result, sr.conv2d(image, kernel, padding=1)))

# %% figure: The image, the padded image, and the result in the size of the image.
# image: Five by five cells: a three by three square of ones, zeros around it.
# padded: The same with one more ring of zeros: seven by seven cells.
# result: Five by five cells: 5, 3 and 0 inside as before, and from minus 1 to minus 3 along the border.
tour.show(
    image=sr.figures.image(image, title="image"),
    padded=sr.figures.image(padded, title="padded"),
    result=sr.figures.image(result, cmap="signed", title="result"),
)

# %% shape
print(tour.shape_formula(image.shape, 3, padding=1))

# %% figure: How the sizes fit together: a ring of padding, and the window at its first place.
# sizes: Drawing of the five by five image inside its ring of padding, the three by three window in the upper left
#   corner, and the five by five result.
tour.show(sizes=sr.figures.geometry(image.shape, kernel.shape, padding=1))

# %% [markdown]
# ## On the photograph
#
# What stands in the border is a choice. Zeros are black. Repeating the outermost pixel, mirroring the picture or
# wrapping it around gives the kernel something more likely to look at, and for filters on photographs mirroring
# is a good habit.

# %%
grey = tour.photograph().mean(axis=2)
modes = ("constant", "replicate", "reflect", "circular")
borders = {mode: sr.pad(grey, 31, mode=mode) for mode in modes}
edges = sr.conv2d(grey, kernel, padding=1)
print(grey.shape, "->", borders["constant"].shape)
print(grey.shape, "->", edges.shape, "with padding 1")

# %% figure: Four borders of 31 pixels, under the names that PyTorch gives them.
# borders: The grey photograph four times: in a black frame, with its outermost pixels drawn out, mirrored at its
#   borders, and continued from its opposite side.
tour.show(borders=sr.figures.feature_maps(list(borders.values()), titles=list(borders), columns=2))

# %% check
crop = grey[-24:, -24:]
checks = tour.compare(
    deck=(result, sr.conv2d(image, kernel, padding=1, algorithm="reference")),
    photograph=(edges[-23:, -23:], sr.conv2d(crop, kernel, padding=1, algorithm="reference")[1:, 1:]),
)
