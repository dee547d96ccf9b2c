"""The deck's functions, written anew from their description, in plain NumPy: the second oracle of the tour.

Nothing of the library is used here. Names and behaviour are the deck's, its oddities included.
"""

import numpy as np


def convolve2d(image, kernel):
    """Slide without flipping over the places where the kernel fits."""
    return strided_convolve2d(image, kernel, 1)


def pad_image(image, pad_width, mode="constant"):
    """Pad every side of every axis."""
    return np.pad(image, pad_width, mode=mode)


def strided_convolve2d(image, kernel, stride):
    """Slide `stride` pixels at a time: floor((n - k) / stride) + 1 places an axis."""
    rows, columns = kernel.shape
    result = np.zeros(((image.shape[0] - rows) // stride + 1, (image.shape[1] - columns) // stride + 1))
    for i, j in np.ndindex(result.shape):
        window = image[i * stride : i * stride + rows, j * stride : j * stride + columns]
        result[i, j] = np.sum(window * kernel)
    return result


def convolve3d(image, kernel):
    """Multiply a kernel with windows (row, column, channel) of all channels; the sum is one map."""
    rows, columns, _ = kernel.shape
    result = np.zeros((image.shape[0] - rows + 1, image.shape[1] - columns + 1))
    for i, j in np.ndindex(result.shape):
        result[i, j] = np.sum(image[i : i + rows, j : j + columns, :] * kernel)
    return result


def multi_kernel_convolve2d(image, kernels):
    """One map for each kernel."""
    return np.array([convolve2d(image, kernel) for kernel in kernels])


def relu(x):
    return np.maximum(0, x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def tanh(x):
    return np.tanh(x)


def pool2d(image, pool_size, mode="max"):
    """Cut whole tiles, drop what remains, keep the maximum or the mean of each."""
    rows, columns = pool_size
    result = np.zeros((image.shape[0] // rows, image.shape[1] // columns))
    for i, j in np.ndindex(result.shape):
        tile = image[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns]
        result[i, j] = np.max(tile) if mode == "max" else np.mean(tile)
    return result


class ConvLayer:
    """Standard normal weights, zero biases; ReLU of the correlation plus the bias."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        self.stride, self.padding = stride, padding
        self.weights = np.random.randn(out_channels, in_channels, kernel_size, kernel_size)
        self.biases = np.zeros(out_channels)

    def forward(self, x):
        pads = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), pads, pads))
        size = self.weights.shape[2]
        sides = [(n - size) // self.stride + 1 for n in padded.shape[2:]]
        result = np.zeros((x.shape[0], self.weights.shape[0], *sides))
        for n, o, i, j in np.ndindex(result.shape):
            top, left = i * self.stride, j * self.stride
            window = padded[n, :, top : top + size, left : left + size]
            result[n, o, i, j] = np.sum(window * self.weights[o]) + self.biases[o]
        return relu(result)


def scipy_convolve2d(image, kernel, boundary, mode="same"):
    """What ``scipy.signal.convolve2d(mode="same")`` does with odd kernels: flip, then slide over the padded image."""
    assert mode == "same"
    half = [n // 2 for n in kernel.shape]
    border = {"symm": "symmetric", "fill": "constant"}[boundary]
    padded = np.pad(image, [(n, n) for n in half], mode=border)
    return convolve2d(padded, kernel[::-1, ::-1])


def gaussian_kernel(size, sigma):
    """Sample the bell curve around the middle and divide by the sum."""
    x = np.arange(size) - size // 2
    curve = np.exp(-(x[:, None] ** 2 + x[None, :] ** 2) / (2 * sigma**2))
    return curve / curve.sum()


def dilated_convolve2d(image, kernel, dilation_rate):
    """Slide a kernel whose taps stand `dilation_rate` pixels apart."""
    rows, columns = kernel.shape
    reach = [(n - 1) * dilation_rate + 1 for n in kernel.shape]
    result = np.zeros((image.shape[0] - reach[0] + 1, image.shape[1] - reach[1] + 1))
    for i, j in np.ndindex(result.shape):
        for u, v in np.ndindex(rows, columns):
            result[i, j] += image[i + u * dilation_rate, j + v * dilation_rate] * kernel[u, v]
    return result


def depthwise_conv(image, kernels):
    """Filter each channel with its own kernel, into an array of the input's type (integers lose their fractions)."""
    result = np.zeros_like(image)
    for channel in range(image.shape[2]):
        result[:, :, channel] = scipy_convolve2d(image[:, :, channel], kernels[channel], "fill")
    return result


def pointwise_conv(image, kernel):
    """Add up the channels of each pixel with weights of shape (1, 1, channels), to one map."""
    return np.sum(image * kernel, axis=2)
