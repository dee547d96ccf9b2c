"""Learning a kernel.

Two pictures are given, before and after; the kernel between them is found by going downhill.
"""

# %% [markdown]
# So far the kernels were given. A network *learns* its own, and with one kernel one can watch: given are a piece of
# the photograph in grey and the picture that Sobel's kernel makes of it, and nobody tells which kernel that was.
#
# A layer with random numbers makes a picture of its own. How far that is from the wanted one is a number, the
# **loss**: here the mean of the squared differences. Its **gradient** says for each weight whether the loss rises
# or falls with it, and a small step against the gradient makes the result a little better. That is all that
# training is.
#
# The gradient of a convolution is a convolution itself: for each weight, the input that it saw, shifted, times the
# differences, summed up. `sr.vjp` gives it for every function of this library; layers call it in `backward`.

# %%
import numpy as np

import striderule as sr
from striderule import nn, tour

photo = tour.photograph().mean(axis=2).astype(np.float32)
photo = (photo - photo.mean()) / photo.std()
secret = sr.kernels.sobel(1).astype(np.float32)
piece = photo[-160:, -200:][None]  # enough to learn from
wanted = sr.conv2d(piece, secret[None, None])

layer = nn.Conv2d(1, 1, 3, bias=False, seed=0)
off = layer(piece) - wanted
layer.backward(2 * off / off.size)
print("weights", layer.weight[0, 0].round(3), sep="\n")
print("gradient", np.asarray(layer.gradients()["weight"])[0, 0].round(3), sep="\n")

# %% [markdown]
# By hand, the gradient of the upper left weight is the mean of twice the difference at each place times the pixel
# that lies under that weight there:

# %%
rows, columns = off.shape[1:]
print((2 * off[0] * piece[0, :rows, :columns]).mean().round(3))

# %% shape
print(tour.shape_formula(piece.shape[1:], 3))

# %% [markdown]
# ## Downhill
#
# Four hundred steps with momentum: each adds to the step before, so that the slow directions gather speed. (The
# pixels of a photograph are alike, so the loss falls steeply in one direction, that of all weights together, and
# slowly in those that tell neighbours apart.) The waves in the curve are the steep direction, overshot and caught
# again.

# %%
optimiser = nn.SGD(layer, lr=0.05, momentum=0.98, nesterov=True)
losses, stages = [], {}
for step in range(400):
    off = layer(piece) - wanted
    losses.append(float((off**2).mean() / wanted.var()))
    if step in (0, 10, 30, 100):
        stages[step] = layer.weight[0, 0].copy()
    optimiser.zero_gradients()
    layer.backward(2 * off / off.size)
    optimiser.step()
learned = layer.weight[0, 0]
print(learned.round(3))
print(f"largest difference from the secret kernel: {abs(learned - secret).max():.4f}")

# %% figure: The loss of each step, counted in powers of ten.
# loss: A curve that falls in waves, by several powers of ten.
tour.show(loss=sr.figures.curves({"loss": losses}, title="loss", xlabel="step", log=True))

# %% figure: The kernel at first, on its way, and learned; beside it the one that made the picture.
# at-first: Random numbers, blue and orange.
# after-30: The left column is blue and the right one orange, unevenly.
# learned: Almost exactly minus 1, 0, 1; minus 2, 0, 2; minus 1, 0, 1.
# sobel: Minus 1, 0, 1; minus 2, 0, 2; minus 1, 0, 1.
tour.show(
    at_first=sr.figures.kernel(stages[0].round(2), title="at first"),
    after_30=sr.figures.kernel(stages[30].round(2), title="after 30 steps"),
    learned=sr.figures.kernel(learned.round(2), title="learned"),
    sobel=sr.figures.kernel(secret, title="Sobel's"),
)

# %% [markdown]
# With two pictures of your own: `striderule train kernel --from photo.jpg --to edges.png --size 3`. It copes with
# the grey that stands for 0 in pictures of edges, leaves out what was clipped, names the kernel that is most alike,
# and says how much no kernel explains: the *length* of the gradient, for one, is no sum of neighbours.

# %% figure: The photograph, the picture that was wanted, and what the learned kernel makes.
# photograph: The photograph in shades of grey.
# wanted: Edges of the photograph that run up and down, blue and orange on white.
# made: The same edges, made by the learned kernel.
tour.show(
    photograph=sr.figures.image(photo, title="before"),
    wanted=sr.figures.image(sr.correlate(photo, secret), cmap="signed", vmin=-6, vmax=6, title="wanted"),
    made=sr.figures.image(layer(photo[None])[0], cmap="signed", vmin=-6, vmax=6, title="made"),
)

# %% check
crop = photo[-12:, -12:].astype(np.float64)
made, pull = sr.vjp(sr.conv2d, crop[None], learned[None, None].astype(np.float64))
ahead = np.random.default_rng(0).standard_normal(made.shape)
gradient = np.asarray(pull(ahead)[1])[0, 0]
loops = np.array([[(ahead[0] * crop[i : i + 10, j : j + 10]).sum() for j in range(3)] for i in range(3)])
crop_loops = sr.conv2d(crop[None], learned[None, None].astype(np.float64), algorithm="reference")
checks = tour.compare(gradient=(gradient, loops), photograph=(made, crop_loops))
