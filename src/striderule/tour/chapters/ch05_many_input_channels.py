"""Many input channels.

A colour image has three numbers for each pixel; the kernel then has three layers, and all products go into one sum.
"""

# %% [markdown]
# The image is a red square with one green pixel in the middle: five rows, five columns, three channels. A kernel
# for it has three layers too. At each place 3 × 3 × 3 = 27 products are added, so the result is *one* map,
# however many channels come in.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5, 3))
image[1:4, 1:4, 0] = 1  # red
image[2, 2, 1] = 1  # green
layer = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
kernel = np.array([layer, layer, layer])

# %% figure: The image and its channels. Red and green together are seen as yellow.
# image: A red square of three by three pixels on black, its middle pixel yellow.
# channels: The red channel holds the square, the green one a single one in the middle, the blue one only zeros.
tour.show(
    image=sr.figures.image(image, values=False, title="image"),
    channels=sr.figures.feature_maps(image.transpose(2, 0, 1), titles=["red", "green", "blue"], shared_scale=True),
)

# %% [markdown]
# ## Two readings of one kernel
#
# The deck writes its kernel as three 3 × 3 layers, *one for each channel*: its axes are (channel, row, column).
# But its `convolve3d(image, kernel)` multiplies it with a window of the image, whose axes are (row, column,
# channel). NumPy does not mind, because all three sizes are 3; it takes the first axis of the kernel for rows and
# the last for channels. Both readings are below: the intended one, and the one that the deck's code literally
# computes. With axes of different lengths the mistake would have been an error, which is a good reason to test
# code on shapes that are not cubes.
#
# Layers of networks keep the channels in front, so the image is passed as (channel, row, column).

# %%
x = image.transpose(2, 0, 1)
intended = sr.conv2d(x, kernel[None])[0]
literal = sr.conv2d(x, kernel.transpose(2, 0, 1)[None])[0]
print("read as (channel, row, column), as meant:")
print(intended)
print("read as (row, column, channel), as computed by the deck:")
print(literal)

# %% figure: As meant, the result has a strong middle. Read along the wrong axes, green has all the positive weight.
# as-meant: Three by three cells: 8 in the middle, 4 in the corners, 2 at the sides.
# as-computed: Three by three cells: minus 5 in the corners, 2 above and below, minus 7 left and right, minus 1 in
#   the middle.
tour.show(
    as_meant=sr.figures.image(intended, cmap="signed", title="as meant"),
    as_computed=sr.figures.image(literal, cmap="signed", title="as computed by the deck"),
)

# %% shape
print(tour.shape_formula(image.shape[:2], 3))

# %% [markdown]
# The number of channels does not enter the formula: it is summed away.
#
# ## On the photograph
#
# A kernel with different layers can ask about colours. This one averages nine pixels and takes red *minus* the
# mean of green and blue: it answers where something is red, and gives zero for grey,
# be it dark or bright.

# %%
photo = tour.photograph().transpose(2, 0, 1)
redness = np.stack([np.full((3, 3), weight / 9) for weight in (1.0, -0.5, -0.5)])
red = sr.conv2d(photo, redness[None])[0]
print(photo.shape, "and", redness.shape, "->", red.shape)

# %% figure: The photograph and its redness: orange where red outweighs green and blue, blue where it is the other way.
# photograph: The photograph in colour.
# redness: The photograph after the colour kernel: red things orange, bluish and greenish ones blue, grey ones
#   white.
tour.show(
    photograph=sr.figures.image(photo.transpose(1, 2, 0)),
    redness=sr.figures.image(red, cmap="signed", vmin=-1, vmax=1),
)

# %% check
crop = photo[:, -20:, -20:]
checks = tour.compare(
    as_meant=(intended, sr.conv2d(x, kernel[None], algorithm="reference")[0]),
    as_computed=(literal, sr.conv2d(x, kernel.transpose(2, 0, 1)[None], algorithm="reference")[0]),
    photograph=(red[-18:, -18:], sr.conv2d(crop, redness[None], algorithm="reference")[0]),
)
