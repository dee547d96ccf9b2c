"""A convolutional layer.

Many input channels, many kernels, a bias for each and an activation: this is the brick that networks are built of.
"""

# %% [markdown]
# The deck's `ConvLayer(in_channels, out_channels, kernel_size, stride=1, padding=0)` holds a kernel for every
# pair of an input and an output channel, and one bias for each output channel. Its `forward` correlates, adds the
# bias and applies ReLU. Before training the kernels are random.
#
# The deck draws them from the plain normal distribution (`init="normal"`). A sum of 27 such products is about
# five times as large as its inputs, and after ten layers nothing sensible is left. He et al. therefore scale them
# by √(2 / 27): signals then keep their size through many layers of ReLU. That is the default,
# `init="he"`.

# %%
import numpy as np

import striderule as sr
from striderule import tour

x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), dtype=np.float32)
layer = sr.nn.ConvLayer(3, 16, 3, stride=1, padding=1, init="normal", seed=0)
y = layer.forward(x)
print(x.shape, "->", y.shape, y.dtype)
print("weight:", layer.weight.shape, "bias:", layer.bias.shape)

for init in ("normal", "he"):
    sums = sr.nn.ConvLayer(3, 16, 3, padding=1, activation=None, init=init, seed=0)(x)
    print(f"{init:6} kernels: inputs vary by {x.std():.2f}, sums by {sums.std():.2f}")

# %% shape
print(tour.shape_formula(x.shape[2:], 3, padding=1))
print(f"output = (batch, out_channels, rows, columns) = {y.shape}")
print(f"weights = 16 · 3 · 3 · 3 = {layer.weight.size}, biases = {layer.bias.size}")

# %% figure: The first output channel for random input: random kernels answer noise with noise.
# first-channel: A map of 32 by 32 pixels of noise, black where ReLU cut off negative sums.
tour.show(first_channel=sr.figures.image(y[0, 0], values=False, colorbar=True))

# %% [markdown]
# ## How it is computed
#
# `explain` says how a call would be computed, without computing it: the algorithm and why not another, how many
# multiply-adds and bytes it takes, and how far rounding may lead astray. The numbers are those of the machine that
# built this page.

# %%
print(sr.explain(sr.conv2d, x, layer.weight, layer.bias, padding=1, activation="relu"))

# %% [markdown]
# In the middle of a network layers are larger, and there is a choice. `precision` is a promise on the error, and the
# quickest algorithm that keeps it computes: one that needs fewer products, say, and errs a little more than all those
# of the definition. `"highest"`, the default, promises 1e-6 of a random result, `"high"` 1e-5, `"medium"` 5e-3. Here
# are the plans of a layer of 64 channels under each word, how many of its 116 million products they form, how far the
# results are from sums in 64 bits, and one plan in full.

# %%
middle = np.random.default_rng(1).standard_normal((64, 56, 56), np.float32)
inner = sr.nn.ConvLayer(64, 64, 3, padding=1, activation=None, seed=1)
exact = sr.conv2d(middle.astype(np.float64), inner.weight, padding=1)
for word in ("highest", "high", "medium"):
    inner.precision = word
    quick = sr.compile(inner, middle)  # its weights are packed once
    (plan,), off = quick.plan.passes, np.linalg.norm(quick(middle) - exact)
    print(f"{plan.precision:8} {plan.chosen.label:12}", end=" ")
    print(f"{plan.cost.operations / 1e6:4.0f} million products,", end=" ")
    print(f"off by {off / np.linalg.norm(exact):.0e}")

inner.precision = "high"
print(sr.compile(inner, middle).plan)

# %% [markdown]
# ## On the photograph
#
# Even untrained, the sixteen kernels see sixteen different pictures: some prefer a colour, some an edge of a
# certain direction. Training chooses which questions are worth asking.

# %%
photo = tour.photograph().transpose(2, 0, 1).astype(np.float32)
eyes = sr.nn.ConvLayer(3, 16, 3, padding=1, seed=7)
maps = eyes(photo - 0.5)
print(photo.shape, "->", maps.shape)

# %% figure: Sixteen random kernels look at the photograph.
# maps: Sixteen small grey pictures of the photograph; they stress different colours and edges, and some are
#   nearly black.
tour.show(maps=sr.figures.feature_maps(maps, columns=4))

# %% check
loops = sr.conv2d(x, layer.weight, layer.bias, padding=1, activation="relu", algorithm="reference")
crop = photo[:, -16:, -16:] - 0.5
crop_loops = sr.conv2d(crop, eyes.weight, eyes.bias, activation="relu", algorithm="reference")
checks = tour.compare(deck=(y, loops), photograph=(maps[:, -15:-1, -15:-1], crop_loops))
