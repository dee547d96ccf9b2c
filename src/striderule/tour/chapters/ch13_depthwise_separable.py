"""Depthwise separable convolution.

First every channel is filtered by itself, then the channels are mixed pixel by pixel: nearly the same, with less work.
"""

# %% [markdown]
# A dense layer does two things at once: it looks at the neighbourhood of a pixel, and it mixes channels. The two
# can be done in turn. The deck's `depthwise_conv(input, kernels)` gives each channel its own 3 × 3 kernel and
# keeps the channels apart; its `pointwise_conv` then adds up the channels of each pixel with three weights, to
# *one* map.
#
# The deck filters with SciPy, which flips kernels (chapter 10) and sets zeros outside. Layers here correlate, so
# to get the deck's numbers the kernels are passed flipped.

# %%
import numpy as np

import striderule as sr
from striderule import tour

random = np.random.default_rng(0)
image = random.random((10, 10, 3))
kernels = random.random((3, 3, 3))  # (channel, row, column)
weights = random.random((1, 1, 3))

x = image.transpose(2, 0, 1)
depthwise = sr.depthwise_conv2d(x, kernels[:, ::-1, ::-1], padding="same")
final = sr.pointwise_conv2d(depthwise, weights.reshape(1, 3))
print("depthwise:", x.shape, "->", depthwise.shape)
print("pointwise:", depthwise.shape, "->", final.shape)
print(final[0, :3, :5].round(4))

# %% figure: Channel 0 on its way: in the input, after the depthwise step, and the one map of all three channels.
# input: Ten by ten cells of random numbers.
# depthwise: Ten by ten cells, smoother, darker along the border where zeros were added.
# final: Ten by ten cells, smoother still.
tour.show(
    input=sr.figures.image(x[0], values=False, title="input, channel 0"),
    depthwise=sr.figures.image(depthwise[0], values=False, title="after depthwise, channel 0"),
    final=sr.figures.image(final[0], values=False, title="after pointwise"),
)

# %% shape
print(tour.shape_formula(x.shape[1:], 3, padding=1))

# %% [markdown]
# ## More than one map, and what it saves
#
# A real layer mixes the channels into many maps: the pointwise step then has a row of weights for each of them.
# Counted in multiplications for each pixel, with *c* channels in and *o* out, a dense 3 × 3 layer needs 9 · *c* ·
# *o*; the two steps need 9 · *c* + *c* · *o*. The more maps, the closer the saving comes to nine.

# %%
pointwise_weight = random.standard_normal((8, 3))
maps = sr.depthwise_separable_conv2d(x, kernels, pointwise_weight, padding="same")
print(x.shape, "->", maps.shape)

print("  in  out      dense  separable  saving")
for channels, outputs in ((3, 8), (64, 128), (512, 512)):
    dense, separable = 9 * channels * outputs, 9 * channels + channels * outputs
    saved = dense / separable
    print(f"{channels:4} {outputs:4} {dense:10,} {separable:10,} {saved:7.1f}")

# %% [markdown]
# `explain` counts the same for a layer that is too large to try here: 64 channels of 56 × 56 pixels, mixed into 128.
# It also says by which algorithm each pass would be computed.

# %%
pixels = sr.Array((1, 64, 56, 56))
taps, mixing = sr.Array((64, 3, 3)), sr.Array((128, 64))
whole = sr.explain(sr.conv2d, pixels, sr.Array((128, 64, 3, 3)), padding=1)
parts = sr.explain(sr.depthwise_separable_conv2d, pixels, taps, mixing, padding=1)
names = ("dense", "depthwise", "pointwise")
for name, plan in zip(names, (*whole.passes, *parts.passes), strict=True):
    print(f"{name:9} {plan.work.operations:12,} multiply-adds by {plan.algorithm}")

# %% figure: Eight maps of the same image: every pointwise row mixes the three filtered channels in its own way.
# maps: Two rows of four maps, ten by ten cells each: some mostly orange, some mostly blue.
tour.show(maps=sr.figures.feature_maps(maps, columns=4, cmap="signed", values=False))

# %% [markdown]
# The price: a separable layer can only do what factors into the two steps. Every dense kernel that it stands for
# is a multiple of the one kernel of its channel.
#
# ## On the photograph
#
# Each colour gets a blur and an edge kernel for each direction: this is `depthwise_conv2d` with three kernels for
# each channel. Three pointwise rows mix what they found.

# %%
photo = tour.photograph().transpose(2, 0, 1)
three = [np.full((3, 3), 1 / 9), sr.kernels.sobel(0) / 4, sr.kernels.sobel(1) / 4]
bank = np.tile(np.stack(three), (3, 1, 1))  # three kernels for each colour
found = sr.depthwise_conv2d(photo, bank, padding="same")
mix = np.array(
    [
        [0.33, 0, 0, 0.33, 0, 0, 0.33, 0, 0],  # brightness
        [0, 1, 1, 0, 0, 0, 0, -1, -1],  # edges of red that are no edges of blue
        [0.5, 0, 0, 0.5, 0, 0, -1, 0, 0],  # yellow against blue
    ]
)
mixed = sr.pointwise_conv2d(found, mix)
print(photo.shape, "->", found.shape, "->", mixed.shape)

# %% figure: The photograph, and its nine filtered channels mixed into three maps.
# photograph: The photograph in colour.
# brightness: The photograph in grey, slightly soft.
# red-edges: Blue and orange outlines where red changes and blue does not.
# yellowness: Orange where the photograph is yellow or warm, blue where it is bluish.
tour.show(
    photograph=sr.figures.image(photo.transpose(1, 2, 0), title="photograph"),
    brightness=sr.figures.image(mixed[0], vmin=0, vmax=1, title="brightness"),
    red_edges=sr.figures.image(mixed[1], cmap="signed", vmin=-0.5, vmax=0.5, title="edges of red, not of blue"),
    yellowness=sr.figures.image(mixed[2], cmap="signed", vmin=-1, vmax=1, title="yellow against blue"),
)

# %% check
loops = sr.depthwise_conv2d(x, kernels[:, ::-1, ::-1], padding="same", algorithm="reference")
separable_loops = sr.depthwise_separable_conv2d(x, kernels, pointwise_weight, padding="same", algorithm="reference")
crop_loops = sr.depthwise_conv2d(photo[:, -16:, -16:], bank, algorithm="reference")
checks = tour.compare(
    depthwise=(depthwise, loops),
    final=(final, sr.pointwise_conv2d(loops, weights.reshape(1, 3), algorithm="reference")),
    eight_maps=(maps, separable_loops),
    photograph=(found[:, -15:-1, -15:-1], crop_loops),
)
