"""Basic convolution.

The kernel visits every place where it fits, and each visit gives one number.
"""

# %% [markdown]
# The deck calls this function `convolve2d(image, kernel)`. Read closely, it lays the kernel on the image as it
# is: mathematicians call that a **correlation**. A *convolution* turns the kernel by half a circle first; chapter
# 10 shows when it matters. Here it does not, because this kernel looks the same either way. Neural networks
# correlate too, and call it convolution.
#
# Without padding only those places count at which the whole kernel lies inside the image: `mode="valid"`.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5), dtype=int)
image[1:4, 1:4] = 1
kernel = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])

result = sr.correlate(image, kernel, mode="valid")
print(result)
print("a layer does the same:", np.array_equal(result, sr.conv2d(image, kernel)))

# %% figure: The result. Corners of the square answer 5, its sides 3, its inside 0.
# result: Three by three cells: 5 in the corners, 3 at the sides, 0 in the middle.
tour.show(result=sr.figures.image(result, title="result", colorbar=True))

# %% shape
print(tour.shape_formula(image.shape, 3))

# %% figure: The kernel on its way: at each of the nine places it writes one number of the result.
# sliding-window: Animation in nine frames. A three by three window moves over the image from left to right and
#   from top to bottom; beside it stand the nine products and their sum, which is written into the result.
tour.show(sliding_window=lambda path: sr.figures.animate(image, kernel, path, dpi=144))

# %% [markdown]
# ## On the photograph
#
# The same kernel on the photograph, made grey by averaging its three colours. Even surfaces vanish; outlines and
# texture remain, with a bright and a dark side each.

# %%
photo = tour.photograph()
grey = photo.mean(axis=2)
edges = sr.correlate(grey, kernel, mode="valid")
print(grey.shape, "->", edges.shape)

# %% shape
print(tour.shape_formula(grey.shape, 3))

# %% figure: The photograph in grey, and its edges: blue below zero, orange above.
# photograph: The photograph in shades of grey.
# edges: The photograph after the edge kernel: outlines in thin pairs of blue and orange lines on white.
tour.show(
    photograph=sr.figures.image(grey, title="grey"),
    edges=sr.figures.image(edges, cmap="signed", vmin=-1, vmax=1, title="edges"),
)

# %% check
crop = grey[-24:, -24:]
checks = tour.compare(
    deck=(result, sr.correlate(image, kernel, mode="valid", algorithm="reference")),
    photograph=(edges[-22:, -22:], sr.correlate(crop, kernel, mode="valid", algorithm="reference")),
)
