"""Introduction.

An image is an array of numbers, a kernel a smaller one, and convolution one small sum taken at every place.
"""

# %% [markdown]
# The image of the first chapters has five rows and five columns: a white square (ones) on black (zeros). The
# kernel has three of each: 8 in the middle and −1 around it. Its nine numbers add up to zero, so where the image
# is the same everywhere it answers zero, and it answers strongly where a pixel differs from its neighbours. Such
# a kernel finds edges.

# %%
import numpy as np

import striderule as sr
from striderule import tour

image = np.zeros((5, 5), dtype=int)
image[1:4, 1:4] = 1
kernel = np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])
print(image)
print(kernel)

# %% figure: The image and the kernel. In kernels, blue is negative and orange positive.
# image: Five by five cells: a three by three square of ones in the middle, zeros around it.
# kernel: Three by three cells: 8 in the middle, minus 1 in the eight cells around it.
tour.show(
    image=sr.figures.image(image, title="image"),
    kernel=sr.figures.kernel(kernel, title="kernel"),
)

# %% [markdown]
# ## One step by hand
#
# Lay the kernel on the upper left corner of the image. Multiply each of the nine pixels by the number that lies
# on it, and add the products: that is one pixel of the result. Then move the kernel one column to the right and
# do it again.

# %%
window = image[0:3, 0:3]
products = window * kernel
print(products)
print("sum:", products.sum())

# %% figure: One position: what the kernel covers, the nine products, and their sum.
# one-step: The kernel on the upper left corner of the image. The products are 8, three times minus 1, and zeros;
#   their sum is 5.
tour.show(one_step=sr.figures.window(image, kernel, (0, 0)))

# %% [markdown]
# How often does the kernel fit? An axis of *n* pixels holds a window of *k* at *n* − *k* + 1 places. The later
# chapters add padding *p*, stride *s* and dilation *d* to this, so here is the whole formula at once; without
# them they are 0, 1 and 1.

# %% shape
print(tour.shape_formula(image.shape, 3))

# %% [markdown]
# ## A photograph is the same thing, only larger
#
# Every chapter ends with a photograph. It is an array too: rows, columns, and three numbers (red, green, blue)
# for each pixel, here between 0 and 1.

# %%
photo = tour.photograph()
print(photo.shape, photo.dtype)
print("upper left pixel:", photo[0, 0].round(3))

# %% figure: The photograph of this tour.
# photograph: The photograph that the chapters work on, in colour.
tour.show(photograph=sr.figures.image(photo))

# %% check
loops = sr.correlate(image, kernel, mode="valid", algorithm="reference")
checks = tour.compare(one_step=(products.sum(), loops[0, 0]))
