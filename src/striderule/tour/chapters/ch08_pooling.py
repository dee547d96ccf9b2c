"""Pooling.

A window without weights: it takes the largest number under it, or the average, and moves on by its own size.
"""

# %% [markdown]
# The deck's `pool2d(image, (2, 2), mode)` cuts the image into tiles of two by two pixels and keeps one number of
# each: the **maximum** ("is it anywhere in here?") or the **average** ("how much of it is in here?"). Five rows
# hold two whole tiles; the fifth row and column are dropped. Averages of whole numbers need not be whole, so the
# result is in floating point.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5), dtype=int)
image[1:4, 1:4] = 1

largest = sr.max_pool2d(image, 2)
average = sr.avg_pool2d(image, 2)
print(largest)
print(average)

# %% figure: The image, the largest of each tile and the average of each tile.
# image: Five by five cells: a three by three square of ones, zeros around it.
# max: Two by two cells, all 1.
# average: Two by two cells: 0.25 and 0.5 above, 0.5 and 1 below.
tour.show(
    image=sr.figures.image(image, title="image"),
    max=sr.figures.image(largest, vmin=0, vmax=1, title="max"),
    average=sr.figures.image(average, vmin=0, vmax=1, title="average"),
)

# %% shape
print(tour.shape_formula(image.shape, 2, stride=2))

# %% [markdown]
# ## On the photograph
#
# Tiles of eight by eight pixels. The maximum keeps small bright things and lets them grow; the average keeps the
# mood.

# %%
grey = tour.photograph().mean(axis=2)
brightest = sr.max_pool2d(grey, 8)
mean = sr.avg_pool2d(grey, 8)
print(grey.shape, "->", brightest.shape)

# %% shape
print(tour.shape_formula(grey.shape, 8, stride=8))

# %% figure: One number for each tile of eight by eight pixels.
# photograph-max: A mosaic of the photograph in which bright spots have grown.
# photograph-average: A mosaic of the photograph in which each tile has the average brightness.
tour.show(
    photograph_max=sr.figures.image(brightest, vmin=0, vmax=1, values=False, title="max"),
    photograph_average=sr.figures.image(mean, vmin=0, vmax=1, values=False, title="average"),
)

# %% check
crop = grey[:32, :32]
checks = tour.compare(
    max=(largest, sr.max_pool2d(image, 2, algorithm="reference")),
    average=(average, sr.avg_pool2d(image, 2, algorithm="reference")),
    photograph_max=(brightest[:4, :4], sr.max_pool2d(crop, 8, algorithm="reference")),
    photograph_average=(mean[:4, :4], sr.avg_pool2d(crop, 8, algorithm="reference")),
)
