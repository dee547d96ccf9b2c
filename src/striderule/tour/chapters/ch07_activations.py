"""Activation functions.

Convolution can only weigh and add; a simple function applied to every number afterwards lets networks do more.
"""

# %% [markdown]
# Two convolutions in a row are only one larger convolution. What makes depth worth its while is a bend in
# between: a function of one number, applied to each element. The deck shows three. **ReLU** keeps what is
# positive and replaces the rest by zero. **Sigmoid** squeezes everything between 0 and 1. **Tanh** does so
# between −1 and 1.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5), dtype=int)
image[1:4, 1:4] = 1
kernel = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
result = sr.conv2d(image, kernel).astype(float)

activated = {
    "relu": sr.relu(result),
    "sigmoid": sr.sigmoid(result),
    "tanh": sr.tanh(result),
}
for name, values in activated.items():
    print(name, values.round(4), sep="\n")

# %% figure: Chapter 2's result, and the three functions of it. None of it is negative, so ReLU changes nothing.
# result: Three by three cells: 5 in the corners, 3 at the sides, 0 in the middle.
# activations: Three maps. ReLU: the same numbers. Sigmoid: 0.993 in the corners, 0.953 at the sides, 0.5 in the
#   middle. Tanh: nearly 1 in the corners, 0.995 at the sides, 0 in the middle.
tour.show(
    result=sr.figures.image(result, title="result"),
    activations=sr.figures.feature_maps(list(activated.values()), titles=list(activated)),
)

# %% shape
print(f"one number at a time: {result.shape} stays {activated['relu'].shape}")

# %% [markdown]
# ## On the photograph
#
# The edges of a photograph have both signs, and there the three differ. ReLU keeps one side of each edge. Sigmoid
# turns "no edge" into 0.5. Tanh leaves small answers nearly as they are and holds large ones below 1.

# %%
grey = tour.photograph().mean(axis=2)
edges = 4 * sr.conv2d(grey, kernel)
photographs = {
    "relu": sr.relu(edges),
    "sigmoid": sr.sigmoid(edges),
    "tanh": sr.tanh(edges),
}
for name, values in photographs.items():
    print(f"{name:8} from {values.min():6.3f} to {values.max():6.3f}")

# %% figure: The edges of the photograph, four times stronger, before and after each function.
# edges: Blue and orange outlines on white.
# relu: White lines on black: only the positive sides of the edges.
# sigmoid: Light and dark lines on middle grey.
# tanh: Orange and blue lines on white, the strong ones saturated.
tour.show(
    edges=sr.figures.image(edges, vmin=-4, vmax=4, cmap="signed", title="edges"),
    relu=sr.figures.image(photographs["relu"], vmin=0, vmax=4, title="ReLU"),
    sigmoid=sr.figures.image(photographs["sigmoid"], vmin=0, vmax=1, title="sigmoid"),
    tanh=sr.figures.image(photographs["tanh"], vmin=-1, vmax=1, cmap="signed", title="tanh"),
)

# %% check
crop = edges[-20:, -20:]
checks = tour.compare(
    relu=(activated["relu"], sr.relu(result, algorithm="reference")),
    sigmoid=(activated["sigmoid"], sr.sigmoid(result, algorithm="reference")),
    tanh=(activated["tanh"], sr.tanh(result, algorithm="reference")),
    photograph=(photographs["tanh"][-20:, -20:], sr.tanh(crop, algorithm="reference")),
)
