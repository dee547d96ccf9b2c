"""One or more calls of every public function that takes arrays, for sweeps over all of them."""

import contextlib
import inspect
from dataclasses import dataclass, field

import numpy as np

import striderule as sr
from striderule.errors import InvalidArgument

ACTIVATIONS = (
    "celu", "elu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink",
)  # fmt: skip
# Public functions that take no arrays, hand on what they are given to a function of the list, give several arrays,
# whatever is done with one, draw by chance, measure a loss, or are gradients.
WITHOUT_ARRAYS = {
    "show_config", "filters.mean", "filters.magnitude", "explain", "halo", "compile", "set_num_threads",
    "get_num_threads", "precision", "set_default_precision", "get_default_precision", "vjp",
    "filters.gradient", "filters.structure_tensor", "filters.pyramid_gaussian", "filters.pyramid_laplacian",
    "conv_input_grad", "conv_weight_grad", "cross_entropy", "dropout", "mse_loss",
}  # fmt: skip
# Functions with routines of their own, in which nothing is chosen, or that differ from the loops by what cancels out.
WITHOUT_CHOICE = {"filters.canny", "filters.corner_harris", "filters.std", "filters.variance"}


@dataclass(frozen=True)
class Call:
    """A call: the operands are arrays by the names of the arguments, in their order; `batched` ones have batch axes."""

    name: str
    operands: dict
    words: dict = field(default_factory=dict)
    batched: tuple = ("x",)

    @property
    def function(self):
        home = sr.filters if self.name.startswith("filters.") else sr
        return getattr(home, self.name.removeprefix("filters."))

    def __call__(self, operands=None, **words):
        return self.function(**{**self.operands, **(operands or {})}, **{**self.words, **words})

    def by_loops(self, operands=None):
        """Call by the loops that all algorithms are held against, where there is a choice."""
        return self(operands) if self.name in WITHOUT_CHOICE else self(operands, algorithm="reference")

    def by(self, algorithm, operands=None):
        """Call by an algorithm; by its own choice where it leaves none, or where that algorithm cannot serve."""
        if "algorithm" in inspect.signature(self.function).parameters:
            with contextlib.suppress(InvalidArgument):
                return self(operands, algorithm=algorithm)
        return self(operands)

    def __str__(self):
        shown = [f"{key}={value}" for key, value in self.words.items() if not isinstance(value, np.ndarray)]
        return f"{self.name}({', '.join(shown)})"


def drawn(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(np.float32)


def convolutions():
    sizes = {1: (9,), 2: (7, 6), 3: (5, 4, 6)}
    for rank, size in sizes.items():
        kernel = (3, 2, 2)[:rank]
        x, b = drawn(3, 4, *size), drawn(6)
        dense = {"x": x, "weight": drawn(6, 2, *kernel), "bias": b}
        yield Call(f"conv{rank}d", dense, {"stride": 2, "padding": 1, "groups": 2})
        yield Call(f"conv{rank}d", dense, {"padding": "same", "boundary": "mirror", "groups": 2, "activation": "relu"})
        yield Call("conv", dense, {"groups": 2, "padding": "full"})
        turned = {"x": x, "weight": drawn(4, 3, *kernel), "bias": b}
        yield Call(f"conv_transpose{rank}d", turned, {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2})
        yield Call(f"depthwise_conv{rank}d", {"x": x, "weight": drawn(8, 1, *kernel), "bias": drawn(8)}, {"stride": 2})
        yield Call(f"depthwise_conv{rank}d", {"x": x, "weight": drawn(4, *kernel)}, {"padding": "same"})
        local = drawn(6, 2, *(n - k + 1 for n, k in zip(size, kernel, strict=True)), *kernel)
        yield Call(f"locally_connected{rank}d", {"x": x, "weight": local, "bias": b}, {"groups": 2})
    x = drawn(3, 4, 7, 6)
    yield Call(
        "conv2d",
        {"x": x, "weight": drawn(5, 4, 3, 3), "residual": drawn(3, 5, 7, 6)},
        {"padding": 1},
        ("x", "residual"),
    )
    yield Call("conv2d", {"x": drawn(3, 7, 6, 4), "weight": drawn(5, 4, 3, 3)}, {"layout": "NHWC", "padding": 1})
    yield Call("conv2d", {"x": drawn(7, 6), "weight": drawn(3, 3)}, {"padding": 1, "fill": 2.5}, ())
    yield Call("pointwise_conv2d", {"x": x, "weight": drawn(6, 4, 1, 1), "bias": drawn(6)}, {"stride": 2})
    separable = {"x": x, "depthwise_weight": drawn(8, 1, 3, 3), "pointwise_weight": drawn(5, 8, 1, 1), "bias": drawn(5)}
    yield Call("depthwise_separable_conv2d", {**separable, "depthwise_bias": drawn(8)}, {"padding": 1})
    yield Call("tiled_conv2d", {"x": x, "weight": drawn(6, 4, 2, 3, 3, 2), "bias": drawn(6)}, {"stride": 2})
    yield Call("unfold", {"x": x}, {"kernel_size": (3, 2), "padding": 1, "stride": 2})
    yield Call("unfold", {"x": x}, {"kernel_size": 3, "padding": 2, "boundary": "mirror", "dilation": 2})
    yield Call("fold", {"x": drawn(3, 4 * 6, 20)}, {"output_size": (7, 5), "kernel_size": (3, 2)})
    yield Call("linear", {"x": drawn(3, 5, 6), "weight": drawn(7, 6), "bias": drawn(7)})
    yield Call("linear", {"x": drawn(3, 20), "weight": drawn(35, 20)})


def poolings():
    for rank, size in {1: (9,), 2: (7, 6), 3: (5, 4, 6)}.items():
        x = drawn(3, 4, *size)
        yield Call(f"max_pool{rank}d", {"x": x}, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True})
        yield Call(f"avg_pool{rank}d", {"x": x}, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True})
        yield Call(f"avg_pool{rank}d", {"x": x}, {"kernel_size": 2, "padding": 1, "count_include_pad": False})
        yield Call(f"lp_pool{rank}d", {"x": np.abs(x)}, {"norm_type": 3, "kernel_size": 2})
        yield Call(f"adaptive_avg_pool{rank}d", {"x": x}, {"output_size": 3})
        yield Call(f"adaptive_max_pool{rank}d", {"x": x}, {"output_size": 3})
        samples = np.random.default_rng(rank).random((3, 4, rank))
        words = {"kernel_size": 2, "output_size": 2, "_random_samples": samples}
        yield Call(f"fractional_max_pool{rank}d", {"x": x}, words, ())
        pooled, indices = getattr(sr, f"max_pool{rank}d")(x, 2, return_indices=True)
        whole = {"kernel_size": 2, "output_size": size}
        yield Call(f"max_unpool{rank}d", {"x": pooled, "indices": indices}, whole, ("x", "indices"))


def elementwise():
    x = drawn(3, 4, 5, 6) * 3
    for name in ACTIVATIONS:
        yield Call(name, {"x": x})
    yield Call("gelu", {"x": x}, {"approximate": "tanh"})
    yield Call("threshold", {"x": x}, {"threshold": 0.5, "value": -1.5})
    yield Call("prelu", {"x": x, "weight": drawn(4)})
    for name in ("softmax", "softmin", "log_softmax"):
        yield Call(name, {"x": x}, {"dim": 1})
    statistics = {"x": x, "running_mean": drawn(4), "running_var": np.abs(drawn(4)) + 1}
    yield Call("batch_norm", {**statistics, "weight": drawn(4), "bias": drawn(4, seed=1)})
    learned = {"running_mean": None, "running_var": None, "training": True}
    yield Call("batch_norm", {"x": x, "weight": drawn(4), "bias": drawn(4, seed=1)}, learned, ())
    yield Call("local_response_norm", {"x": x}, {"size": 3})
    last = {"x": x, "weight": drawn(5, 6), "bias": drawn(5, 6, seed=1)}
    yield Call("layer_norm", last, {"normalized_shape": (5, 6)})
    yield Call("layer_norm", {"x": x, "weight": drawn(4)}, {"normalized_shape": 4, "axis": 1})
    yield Call("group_norm", {"x": x, "weight": drawn(4), "bias": drawn(4, seed=1)}, {"num_groups": 2})
    yield Call("pixel_shuffle", {"x": x}, {"upscale_factor": 2})
    yield Call("pixel_unshuffle", {"x": drawn(3, 2, 6, 4)}, {"downscale_factor": 2})
    yield Call("pad", {"x": x}, {"pad": (1, 2, 0, 1), "value": 1.5})
    yield Call("pad", {"x": x}, {"pad": (2, 1, 1, 0), "mode": "reflect"})
    yield Call("pad", {"x": x}, {"pad": 2, "mode": "wrap"})
    yield Call("pad", {"x": x}, {"pad": (-1, 2, 2, -2), "mode": "circular"})
    yield Call("pad", {"x": x}, {"pad": (-2, 3), "mode": "symmetric"})
    yield Call("interpolate", {"x": x}, {"scale_factor": (1.7, 0.6)})
    yield Call("interpolate", {"x": x}, {"size": (7, 4), "mode": "nearest-exact"})
    yield Call("interpolate", {"x": x}, {"scale_factor": 1.3, "mode": "bilinear"})
    yield Call("interpolate", {"x": x[..., 0]}, {"size": 12, "mode": "linear", "align_corners": True})
    yield Call("interpolate", {"x": drawn(3, 2, 3, 4, 5)}, {"size": (6, 2, 5), "mode": "trilinear"})


def images():
    image = drawn(9, 8)
    kernel = drawn(3, 2)
    for name in ("correlate", "convolve"):
        yield Call(name, {"image": image, "kernel": kernel}, {}, ())
        yield Call(name, {"image": image, "kernel": kernel}, {"mode": "full", "boundary": "wrap"}, ())
        yield Call(name, {"image": image, "kernel": kernel}, {"mode": "valid", "stride": 2}, ())
        yield Call(name, {"image": image, "kernel": kernel, "mask": image > -1}, {"boundary": "edge"}, ())
        yield Call(name, {"image": drawn(9, 8, 3), "kernel": kernel}, {"channel_axis": -1, "boundary": "mirror"}, ())
    for name in ("dog", "gaussian", "gradient_magnitude", "log"):
        yield Call(f"filters.{name}", {"image": image}, {"sigma1" if name == "dog" else "sigma": 1.2}, ())
    for name in ("emboss", "laplace", "prewitt", "roberts", "scharr", "sharpen", "sobel", "unsharp_mask"):
        yield Call(f"filters.{name}", {"image": image}, {}, ())
    yield Call("filters.box", {"image": image}, {"size": 3}, ())
    yield Call("filters.box", {"image": image}, {"size": 1}, ())
    yield Call("filters.gaussian", {"image": image}, {"sigma": 0}, ())
    yield Call("filters.motion", {"image": image}, {"length": 5, "angle": 30}, ())
    yield Call("filters.gabor", {"image": image}, {"frequency": 0.3}, ())
    for name in ("canny", "corner_harris", "pyramid_reduce", "pyramid_expand"):
        yield Call(f"filters.{name}", {"image": image}, {}, ())
    for name in ("std", "variance"):
        yield Call(f"filters.{name}", {"image": image}, {"size": 3}, ())
    yield Call("filters.match_template", {"image": image, "template": drawn(3, 2)}, {}, ())
    yield Call("filters.bank", {"image": image, "kernels": drawn(4, 3, 3)}, {}, ())


CALLS = [*convolutions(), *poolings(), *elementwise(), *images()]
