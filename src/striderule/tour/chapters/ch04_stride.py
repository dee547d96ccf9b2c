"""Stride.

The kernel need not stop at every pixel: with a stride of 2 it skips every other place, and the result is half as large.
"""

# %% [markdown]
# The deck's `strided_convolve2d(image, kernel, stride)` moves the kernel by `stride` pixels at a time. On the
# five by five image a three by three kernel then fits twice on each axis: in the four corners, where chapter 2
# found 5. Nothing new is computed; a stride of 2 keeps every second number of each axis and saves the work for
# the others.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5), dtype=int)
image[1:4, 1:4] = 1
kernel = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])

result = sr.correlate(image, kernel, mode="valid", stride=2)
print(result)
every = sr.correlate(image, kernel, mode="valid")
print("every second number of chapter 2:", np.array_equal(result, every[::2, ::2]))

# %% shape
print(tour.shape_formula(image.shape, 3, stride=2))

# %% figure: The result, and the last of the four places: two rows down, two columns to the right.
# result: Two by two cells, all 5.
# last-step: The kernel on the lower right corner of the image; the products add up to 5.
tour.show(
    result=sr.figures.image(result, title="result", vmin=0, vmax=5),
    last_step=sr.figures.window(image, kernel, (1, 1), stride=2),
)

# %% [markdown]
# ## On the photograph
#
# Blurring and skipping is how pictures are made smaller. Skipping alone keeps whatever stands at every
# fourth place and leaves jagged lines; a blur first lets each pixel that is kept speak for its neighbours. With a
# stride both are one call.

# %%
grey = tour.photograph().mean(axis=2)
blur = sr.kernels.gaussian(2)
small = sr.conv2d(grey, blur, stride=4, padding=8)
skipped = grey[::4, ::4]
print("kernel:", blur.shape)
print(grey.shape, "->", small.shape)

# %% shape
print(tour.shape_formula(grey.shape, 17, stride=4, padding=8))

# %% figure: A quarter of the rows and columns: only skipped, and blurred with a stride of 4.
# skipped: The photograph at a quarter of its size, every fourth pixel kept: jagged lines and speckles.
# blurred: The photograph at a quarter of its size, blurred with stride 4: smooth.
tour.show(
    skipped=sr.figures.image(skipped, values=False, title="grey[::4, ::4]"),
    blurred=sr.figures.image(small, values=False, title="blurred with stride 4"),
)

# %% check
crop = grey[:40, :40]
crop_loops = sr.conv2d(crop, blur, stride=4, padding=8, algorithm="reference")
checks = tour.compare(
    deck=(result, sr.correlate(image, kernel, mode="valid", stride=2, algorithm="reference")),
    photograph=(small[:6, :6], crop_loops[:6, :6]),
)
