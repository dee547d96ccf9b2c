"""Dilation.

The kernel's taps move apart, so the same nine numbers see a larger part of the image.
"""

# %% [markdown]
# The deck's `dilated_convolve2d(image, kernel, dilation_rate)` leaves gaps between the taps: with a rate of 2 a
# three by three kernel reaches over five by five pixels but still looks at nine. Networks use this to see far
# without pooling and without more weights. The image is a square on 15 by 15 pixels, the kernel a plain average.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((15, 15))
image[5:10, 5:10] = 1
kernel = np.full((3, 3), 1 / 9)

results = {}
for rate in (1, 2, 3):
    results[rate] = sr.correlate(image, kernel, mode="valid", dilation=rate)
    print(f"rate {rate}: {results[rate].shape}, sum {results[rate].sum():.4f}, row 5:")
    print(results[rate][5].round(2))

# %% figure: The image and the results for rates 1, 2 and 3: the square smears out further and further.
# image: A white square of five by five pixels on black, fifteen by fifteen in all.
# rates: Three maps of 13, 11 and 9 pixels a side; the brightness spreads, and gaps between the taps show as
#   steps.
tour.show(
    image=sr.figures.image(image, values=False, title="image"),
    rates=sr.figures.feature_maps(
        list(results.values()), titles=[f"rate {rate}" for rate in results], values=False, shared_scale=True
    ),
)

# %% shape
for rate in results:
    print(tour.shape_formula(image.shape, 3, dilation=rate))

# %% figure: The same nine taps at rate 1 and at rate 3.
# window-rate-1: The window covers three by three pixels that touch.
# window-rate-3: The window covers nine pixels, three apart, over seven by seven.
tour.show(
    window_rate_1=sr.figures.window(image, kernel, (4, 4), title="rate 1"),
    window_rate_3=sr.figures.window(image, kernel, (4, 4), dilation=3, title="rate 3"),
)

# %% [markdown]
# Layers in a row with rates 1, 2 and 4 see 15 pixels with nine weights each, and leave none out. This is the
# **receptive field**: what one number of the last layer depends on.

# %%
chain = [sr.geometry.Window(3, dilation=rate) for rate in (1, 2, 4)]
print(sr.geometry.receptive_field(chain))

# %% figure: Three dilated layers, drawn along one axis: the input below, one number of the last layer on top.
# receptive-field: A pyramid of dots: one on top, three below it four apart, seven below those two apart, and
#   fifteen neighbours at the bottom.
tour.show(receptive_field=sr.figures.receptive_field(chain))

# %% [markdown]
# ## On the photograph
#
# The edge kernel of chapter 1 with growing rates. At rate 1 it compares a pixel with its neighbours and finds
# fine texture; further apart it finds the outlines of large things.

# %%
grey = tour.photograph().mean(axis=2)
edge = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
edges = {}
for rate in (1, 3, 9):
    edges[rate] = sr.correlate(grey, edge, mode="valid", dilation=rate)
    reach = sr.geometry.dilated_extent(3, rate)
    print(f"rate {rate}, reach {reach:2}: {grey.shape} -> {edges[rate].shape}")

# %% figure: The photograph, and the edge kernel with its taps 1, 3 and 9 pixels apart.
# photograph: The photograph in shades of grey.
# edges-rate-1: Fine outlines and texture in blue and orange on white.
# edges-rate-3: Broader outlines, less texture.
# edges-rate-9: Large things in outline with soft, repeated borders.
tour.show(
    photograph=sr.figures.image(grey, vmin=0, vmax=1, title="grey"),
    edges_rate_1=sr.figures.image(edges[1], cmap="signed", vmin=-3, vmax=3, title="rate 1"),
    edges_rate_3=sr.figures.image(edges[3], cmap="signed", vmin=-3, vmax=3, title="rate 3"),
    edges_rate_9=sr.figures.image(edges[9], cmap="signed", vmin=-3, vmax=3, title="rate 9"),
)

# %% [markdown]
# ## What it costs
#
# Nine products, whatever the rate: a kernel that is spread out costs no more than one that is not. Others have no
# dilation for pictures and fill the gaps with zeros, which are multiplied too. Below the plan the times of this
# machine, beside those of other libraries where they are installed.

# %%
small = grey.astype(np.float32)
spread = np.zeros((19, 19), np.float32)
spread[::9, ::9] = edge
print(sr.explain(sr.correlate, small, edge, dilation=9))
print()
times = tour.race(
    lambda: sr.correlate(small, edge, dilation=9),
    cv2=lambda cv2: cv2.filter2D(small, -1, spread),
    scipy_ndimage=lambda ndimage: ndimage.correlate(small, spread),
)

# %% check
crop = grey[-30:, -30:]
checks = tour.compare(
    rate_1=(results[1], sr.correlate(image, kernel, mode="valid", dilation=1, algorithm="reference")),
    rate_2=(results[2], sr.correlate(image, kernel, mode="valid", dilation=2, algorithm="reference")),
    rate_3=(results[3], sr.correlate(image, kernel, mode="valid", dilation=3, algorithm="reference")),
    photograph=(edges[9][-12:, -12:], sr.correlate(crop, edge, mode="valid", dilation=9, algorithm="reference")),
)
