"""Gaussian blur.

A weighted average in which near pixels count more than distant ones: noise averages out, shapes stay.
"""

# %% [markdown]
# The weights follow Gauss's bell curve exp(−(x² + y²) / 2σ²), sampled at whole pixels from −2 to 2 and divided by
# their sum, so that an even surface keeps its brightness. The deck's kernel has five by five weights and σ = 1;
# the image is noise.

# %%
import numpy as np

import striderule as sr
from striderule import tour

noise = np.random.RandomState(0).rand(100, 100)
kernel = sr.kernels.gaussian(1, size=5)
blurred = sr.convolve(noise, kernel, boundary="symmetric")
print(kernel.round(4))
print("sum of the kernel:", kernel.sum().round(12))
print(blurred[:3, :5].round(4))
print(f"mean      {noise.mean():.4f} -> {blurred.mean():.4f}")
print(f"deviation {noise.std():.4f} -> {blurred.std():.4f}")

# %% figure: The kernel, the noise and the blurred noise. Flipping this kernel changes nothing.
# kernel: Five by five weights: 0.162 in the middle, falling to 0.003 in the corners.
# noise: One hundred by one hundred pixels of noise.
# blurred: The same noise, soft and cloudy.
tour.show(
    kernel=sr.figures.kernel(kernel, title="kernel"),
    noise=sr.figures.image(noise, vmin=0, vmax=1, title="noise"),
    blurred=sr.figures.image(blurred, vmin=0, vmax=1, title="blurred"),
)

# %% shape
print(tour.shape_formula(noise.shape, 5, padding=2))

# %% [markdown]
# ## On the photograph
#
# Noise is added to the photograph, then blurred away. The bell curve is a product of one curve along the rows and
# one along the columns, so a wide blur can be done in two cheap passes: `sr.filters.gaussian` does.

# %%
photo = tour.photograph()
speckles = np.random.RandomState(1).standard_normal(photo.shape)
noisy = (photo + 0.2 * speckles).clip(0, 1)
soft = sr.convolve(noisy, kernel, boundary="symmetric", channel_axis=-1)
wide = sr.filters.gaussian(noisy, 4, channel_axis=-1)
print(photo.shape, "->", soft.shape)

# %% figure: As it was, with noise, after the five by five kernel, and after a blur four times as wide.
# photograph: The photograph in colour.
# noisy: The photograph under coloured noise.
# soft: The photograph with much of the noise averaged away, slightly soft.
# wide: The photograph without visible noise, and without fine detail.
tour.show(
    photograph=sr.figures.image(photo, title="photograph"),
    noisy=sr.figures.image(noisy, title="with noise"),
    soft=sr.figures.image(soft, title="σ = 1"),
    wide=sr.figures.image(wide, title="σ = 4"),
)

# %% [markdown]
# ## What it costs
#
# A blur with σ = 4 has 33 by 33 weights: 1089 products for every number, or 66 in two passes. `explain` shows that the
# passes are taken without being asked for, also when only the whole kernel is given. Below it the times of this
# machine, beside those of other libraries where they are installed.

# %%
grey = photo.mean(axis=2).astype(np.float32)
whole = sr.kernels.gaussian(4)
print(sr.explain(sr.correlate, grey, whole))
print()
times = tour.race(
    lambda: sr.filters.gaussian(grey, 4),
    cv2=lambda cv2: cv2.GaussianBlur(grey, (33, 33), 4),
    scipy_ndimage=lambda ndimage: ndimage.gaussian_filter(grey, 4),
    skimage_filters=lambda filters: filters.gaussian(grey, 4),
)

# %% check
corner = sr.convolve(noise[:24, :24], kernel, boundary="symmetric", algorithm="reference")
crop_loops = sr.convolve(noisy[-16:, -16:], kernel, boundary="symmetric", channel_axis=-1, algorithm="reference")
checks = tour.compare(
    deck=(blurred[:22, :22], corner[:22, :22]),
    photograph=(soft[-14:, -14:], crop_loops[2:, 2:]),
)
