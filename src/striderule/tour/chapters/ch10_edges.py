"""Edges, and why kernels are flipped.

Two kernels measure how fast the image changes downwards and to the right; together they give the strength of an edge.
"""

# %% [markdown]
# The image is a white square (rows and columns 20 to 79) on black, 100 by 100 pixels. Sobel's kernels take the
# difference of two rows, or of two columns, a little smoothed. The length of the two answers as sides of a right
# triangle, the **magnitude**, says how strong the edge is, whatever its direction.
#
# Here the deck calls SciPy, whose `convolve2d` really convolves. In this library that is `sr.convolve`, with
# `boundary="symmetric"` for what lies outside (SciPy's "symm").

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((100, 100))
image[20:80, 20:80] = 1
horizontal_kernel = np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]])
vertical_kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])

horizontal = sr.convolve(image, horizontal_kernel, boundary="symmetric")
vertical = sr.convolve(image, vertical_kernel, boundary="symmetric")
magnitude = np.sqrt(horizontal**2 + vertical**2)
print("down across the upper edge:", horizontal[18:23, 50])
print("down across the lower edge:", horizontal[78:83, 50])
print("right across the left edge:", vertical[50, 18:23])
print(magnitude[18:22, 18:22].round(4))
print("sum", magnitude.sum().round(4), "largest", magnitude.max().round(4))

# %% figure: The square, its horizontal and its vertical edges (blue is negative), and the magnitude of both.
# image: A white square on black.
# horizontal: Only the upper and lower sides of the square: the upper in blue, the lower in orange.
# vertical: Only the left and right sides of the square: the left in blue, the right in orange.
# magnitude: The outline of the square in white on black.
tour.show(
    image=sr.figures.image(image, title="image"),
    horizontal=sr.figures.image(horizontal, cmap="signed", title="horizontal edges"),
    vertical=sr.figures.image(vertical, cmap="signed", title="vertical edges"),
    magnitude=sr.figures.image(magnitude, title="magnitude"),
)

# %% [markdown]
# ## Why is it negative where the image gets brighter?
#
# Going down into the square the image rises from 0 to 1, and the kernel is "below minus above", so one expects
# +4. The answer is −4, because **convolution flips the kernel**: it turns it by half a circle before laying it
# on. Sobel's kernels change their sign when turned, so the two operations differ in exactly that sign.
# Correlating with the flipped kernel is the same as convolving; the magnitude does not care.
#
# Why would anyone flip? Because then order and grouping do not matter: a ∗ b = b ∗ a, and blurring twice is
# blurring once with a wider kernel. Correlation has neither property. Networks learn their kernels and do not
# mind either way.

# %%
correlated = sr.correlate(image, horizontal_kernel, boundary="symmetric")
flipped = horizontal_kernel[::-1, ::-1]
print(flipped)
print("convolved: ", horizontal[18:23, 50])
print("correlated:", correlated[18:23, 50])
same = sr.correlate(image, flipped, boundary="symmetric")
print("correlated, kernel flipped, is convolved:", np.array_equal(same, horizontal))

# %% figure: The kernel as it is written, and as a convolution uses it.
# as-written: Minus 1, minus 2, minus 1 above; zeros; 1, 2, 1 below.
# as-flipped: 1, 2, 1 above; zeros; minus 1, minus 2, minus 1 below.
tour.show(
    as_written=sr.figures.kernel(horizontal_kernel, title="as written (correlate)"),
    as_flipped=sr.figures.kernel(flipped, title="flipped (convolve)"),
)

# %% shape
print(tour.shape_formula(image.shape, 3, padding=1))

# %% [markdown]
# ## On the photograph
#
# Real edges run in every direction. The first kernel answers to those that run across, the second to those that
# run up and down; the magnitude shows them all.

# %%
grey = tour.photograph().mean(axis=2)
down = sr.convolve(grey, horizontal_kernel, boundary="symmetric")
right = sr.convolve(grey, vertical_kernel, boundary="symmetric")
strength = np.sqrt(down**2 + right**2)
print(grey.shape, "->", strength.shape)

# %% figure: The photograph, its horizontal and its vertical edges, and the strength of all edges.
# photograph: The photograph in shades of grey.
# photograph-horizontal: Edges of the photograph that run across, blue and orange on white.
# photograph-vertical: Edges of the photograph that run up and down, blue and orange on white.
# photograph-magnitude: The outlines of the photograph, white on black.
tour.show(
    photograph=sr.figures.image(grey, vmin=0, vmax=1, title="grey"),
    photograph_horizontal=sr.figures.image(down, cmap="signed", vmin=-2, vmax=2, title="horizontal edges"),
    photograph_vertical=sr.figures.image(right, cmap="signed", vmin=-2, vmax=2, title="vertical edges"),
    photograph_magnitude=sr.figures.image(strength, vmin=0, vmax=2, title="magnitude"),
)

# %% [markdown]
# ## What it costs
#
# `sr.filters.sobel` does both kernels and the length of the answer in one pass over the picture. `explain` tells
# which ways there are, how long each should take, and why it is not another. Below it the times of this machine, beside
# those of other libraries where they are installed.

# %%
small = grey.astype(np.float32)
print(sr.explain(sr.filters.sobel, small))
print()
times = tour.race(
    lambda: sr.filters.sobel(small),
    cv2=lambda cv2: cv2.magnitude(*(cv2.Sobel(small, 5, d, 1 - d) for d in (1, 0))),
    scipy_ndimage=lambda scipy: np.hypot(*(scipy.sobel(small, axis) for axis in (0, 1))),
    skimage_filters=lambda filters: filters.sobel(small),
)

# %% check
corner = image[:24, :24]
down_loops = sr.convolve(corner, horizontal_kernel, boundary="symmetric", algorithm="reference")
right_loops = sr.convolve(corner, vertical_kernel, boundary="symmetric", algorithm="reference")
crop_loops = sr.convolve(grey[-24:, -24:], vertical_kernel, boundary="symmetric", algorithm="reference")
checks = tour.compare(
    horizontal=(horizontal[:23, :23], down_loops[:23, :23]),
    vertical=(vertical[:23, :23], right_loops[:23, :23]),
    photograph=(right[-23:, -23:], crop_loops[1:, 1:]),
)
