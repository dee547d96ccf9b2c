"""Layers made of layers: one after the other, side by side, around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.algorithms import memory
from striderule.codegen.workers import Step
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.door import array
from striderule.functional.gradients.call import Pull
from striderule.functional.gradients.vjp import differentiated
from striderule.functional.layers import activation_of
from striderule.nn.convolution import Convolution
from striderule.nn.joint import WORDS, End, Joint, joint_of, word_of
from striderule.nn.layer import Layer
from striderule.nn.normalization import BatchNorm

Array = NDArray[Any]


class _Made(Layer):
    """A layer that is made of named ones."""

    _made: dict[str, Layer]

    def _keep(self, made: dict[str, Layer]) -> None:
        for name, layer in made.items():
            if not isinstance(layer, Layer):
                raise InvalidType(f"{type(self).__name__} is made of layers, got {layer!r} as {name!r}")
        self._made = made

    def children(self) -> dict[str, Layer]:
        """Return the layers that it is made of, by name."""
        return self._made

    def __getitem__(self, key: int | str) -> Layer:
        if isinstance(key, str):
            return self._made[key]
        return list(self._made.values())[key]

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._made.values())

    def __repr__(self) -> str:
        lines = [f"  {name}: {line}" for name, layer in self._made.items() for line in [_indented(layer)]]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def _indented(layer: Layer) -> str:
    return repr(layer).replace("\n", "\n  ")


class Sequential(_Made):
    """Layers one after the other: each gets the output of the one before.

    Parameters
    ----------
    *layers
        Layers, named "0", "1"..., or (name, layer) pairs.
    **named
        Layers by name, behind those.

    Examples
    --------
    >>> import numpy as np
    >>> from striderule import nn
    >>> block = nn.Sequential(nn.ConvLayer(3, 8, 3, padding=1, seed=0), nn.ConvLayer(8, 4, 3, padding=1, seed=0))
    >>> block(np.zeros((1, 3, 8, 8), np.float32)).shape
    (1, 4, 8, 8)
    >>> list(block.parameters())
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, *layers: Layer | tuple[str, Layer], **named: Layer) -> None:
        made: dict[str, Layer] = {}
        for number, entry in enumerate(layers):
            name, layer = entry if isinstance(entry, tuple) else (str(number), entry)
            if name in made:
                raise InvalidArgument(f"two layers are named {name!r}; give each a name of its own")
            made[name] = layer
        self._keep(made | named)

    def forward(self, x: ArrayLike) -> Array:
        """Return the output of the last layer."""
        if not self.training:
            return self._run(x, End())
        with Step():
            return self._run(x, End())

    def _run(self, x: ArrayLike, end: End) -> Array:
        """Return the output of the last layer; what stands behind it may be one with it."""
        result: Any = x
        layers = list(self)
        while layers:
            layer, *layers = layers
            word = word_of(layers[0]) if layers else None
            here = end if not layers else End(activation=word)
            result = run(layer, result, here)
            if word is not None and here.joint is not None:
                vars(layers.pop(0))["_pull"] = here.joint.of_activation
        return result if self._made else array(x, "x")

    def backward(self, gy: ArrayLike) -> Array | None:
        """Return the gradient with respect to the input, from the last layer to the first."""
        with Step():
            return self._back(np.asarray(gy))

    def _back(self, gy: Array) -> Array | None:
        gradient: Any = gy
        layers = list(self)
        while layers:
            layer = layers.pop()
            if gradient is None:
                raise InvalidArgument("a layer gave no gradient of its input, and there are layers before it")
            joint = joint_of(vars(layer).get("_pull"))
            if joint is not None and layers and joint is joint_of(vars(layers[-1]).get("_pull")):
                layer.release()
                joint.take_over(apart=False)
            else:
                gradient = layer.backward(gradient)
        return gradient  # type: ignore[no-any-return]  # of the first layer

    def want_input_gradient(self, wanted: bool) -> None:
        """Say whether `backward` has to return the gradient of the input."""
        self.input_gradient = wanted
        if self._made:
            self[0].want_input_gradient(wanted)


def run(layer: Layer, x: Any, end: End) -> Array:
    """Return the output of a layer; if it ends with a normalisation that is one with what stands behind, that of it."""
    if "forward" not in vars(layer):
        if type(layer).forward is Sequential.forward and isinstance(layer, Sequential):
            return layer._run(x, end)  # noqa: SLF001 - what its forward is
        if type(layer).forward is BatchNorm.forward and isinstance(layer, BatchNorm):
            end.joint = layer._joined(x, end)  # noqa: SLF001 - nothing that users call
        if type(layer).forward is Convolution.forward and isinstance(layer, Convolution):
            end.joint = layer._joined(x, end)  # noqa: SLF001
        if end.joint is not None:
            return end.joint.y
    return layer.forward(x)


class Residual(_Made):
    """The output of a layer plus its input, or what another layer makes of that: activation(body(x) + shortcut(x)).

    Source: He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, equations 1 and 2.

    Parameters
    ----------
    body
        The layer; its output has the shape of what the shortcut gives.
    shortcut
        Another layer, such as a convolution that changes the channels; None (default) adds the input itself.
    activation
        Applied to the sum: a word, ``(word, *parameters)`` or None (default).
    names
        Under which the parameters of both stand; a name that begins with a dot adds nothing. Default
        ``("body", "shortcut")``.

    Examples
    --------
    >>> import numpy as np
    >>> from striderule import nn
    >>> block = nn.Residual(nn.ConvLayer(4, 4, 3, padding=1, activation=None, seed=0), activation="relu")
    >>> block(np.ones((1, 4, 8, 8), np.float32)).shape
    (1, 4, 8, 8)
    """

    _pull: Pull | None = None

    def __init__(
        self,
        body: Layer,
        shortcut: Layer | None = None,
        *,
        activation: Any = None,
        names: tuple[str, str] = ("body", "shortcut"),
    ) -> None:
        self._keep({names[0]: body} | ({} if shortcut is None else {names[1]: shortcut}))
        self.body, self.shortcut = body, shortcut
        self.activation = activation
        self._active = activation_of(activation)

    def forward(self, x: ArrayLike) -> Array:
        """Return activation(body(x) + shortcut(x))."""
        image = array(x, "x")
        other = image if self.shortcut is None else self.shortcut.forward(image)
        end, word = End(other), None
        if self._active is not None and not self._active.named:
            end.activation = word = WORDS.get(self._active.function)
        joinable = self.training and (self._active is None or word is not None)
        result = run(self.body, image, end) if joinable else self.body.forward(image)
        if end.joint is not None:
            self._pull = end.joint.of_activation
            return result
        if result.shape != other.shape:
            raise InvalidArgument(
                f"body and shortcut of Residual must give one shape, got {result.shape} and {other.shape}; "
                "let the shortcut be a convolution that changes channels and size alike"
            )
        total = _sum(result, other)
        if self._active is None:
            return total
        if not self.training:
            return self._active(total)
        words = {"x": total, **dict(self._active.named)}
        active, self._pull = differentiated(self._active.function, words, frozenset({"x"}))
        return active  # type: ignore[no-any-return]

    def backward(self, gy: ArrayLike) -> Array | None:
        """Return the gradient with respect to the input: the sum of both ways."""
        gradient = np.asarray(gy)
        pull, self._pull = self._pull, None
        joint = joint_of(pull)
        if isinstance(joint, Joint):
            joint.take_over(apart=True)
        elif self._active is not None:
            if pull is None:
                raise InvalidArgument(
                    "backward of Residual needs a forward in training mode before: call layer.train()"
                )
            found = pull(gradient)["x"]
            assert found is not None  # it is wanted
            gradient = found
        first = self.body.backward(gradient)
        if isinstance(joint, Joint):
            gradient = joint.before
        second = gradient if self.shortcut is None else self.shortcut.backward(gradient)
        if not self.input_gradient or first is None or second is None:
            return None
        return _sum(first, second)

    def want_input_gradient(self, wanted: bool) -> None:
        """Say whether `backward` has to return the gradient of the input."""
        self.input_gradient = wanted
        for layer in self:
            layer.want_input_gradient(wanted)

    def release(self) -> None:
        """Forget what the last `forward` kept."""
        self._pull = None


def _sum(one: Array, other: Array) -> Array:
    """Return the sum of two arrays of a shape, in memory that was used before."""
    if not (one.flags.c_contiguous and other.flags.c_contiguous and one.dtype == other.dtype):
        return one + other
    return np.add(one, other, out=memory.empty(one.shape, one.dtype))


class Concat(_Made):
    """What several layers make of the same input, side by side on the axis of channels.

    Source: Szegedy et al., "Going Deeper with Convolutions", arXiv:1409.4842; Huang et al., "Densely Connected
    Convolutional Networks", arXiv:1608.06993.

    Parameters
    ----------
    *layers
        Layers, named "0", "1"..., or (name, layer) pairs; None stands for the input itself.
    axis
        The axis that results are joined on. Default: 1, the channels of (batch, channels, *spatial).

    Examples
    --------
    >>> import numpy as np
    >>> from striderule import nn
    >>> block = nn.Concat(None, nn.ConvLayer(4, 2, 3, padding=1, seed=0))
    >>> block(np.ones((1, 4, 8, 8), np.float32)).shape
    (1, 6, 8, 8)
    """

    def __init__(self, *layers: Layer | tuple[str, Layer] | None, axis: int = 1) -> None:
        made: dict[str, Layer] = {}
        self.ways: list[Layer | None] = []
        for number, entry in enumerate(layers):
            name, layer = entry if isinstance(entry, tuple) else (str(number), entry)
            self.ways.append(layer)
            if layer is not None:
                made[name] = layer
        if not self.ways:
            raise InvalidArgument("Concat needs at least one layer")
        self._keep(made)
        self.axis = axis
        self._sizes: list[int] = []

    def forward(self, x: ArrayLike) -> Array:
        """Return the results of all layers, joined."""
        image = array(x, "x")
        results = [image if layer is None else layer.forward(image) for layer in self.ways]
        self._sizes = [result.shape[self.axis] for result in results]
        kinds = {result.dtype for result in results}
        if len(kinds) > 1 or self.axis % image.ndim == 0:
            return np.concatenate(results, axis=self.axis)
        shape = list(results[0].shape)
        shape[self.axis] = sum(self._sizes)
        return np.concatenate(results, axis=self.axis, out=memory.empty(shape, results[0].dtype))

    def backward(self, gy: ArrayLike) -> Array | None:
        """Return the gradient with respect to the input: the sum of all ways, in their order."""
        gradient = np.asarray(gy)
        total: Array | None = None
        start = 0
        for layer, size in zip(self.ways, self._sizes, strict=True):
            part = gradient[(slice(None),) * (self.axis % gradient.ndim) + (slice(start, start + size),)]
            start += size
            found = part if layer is None else layer.backward(part)
            if found is not None and self.input_gradient:
                total = found if total is None else _sum(total, found)
        return total

    def want_input_gradient(self, wanted: bool) -> None:
        """Say whether `backward` has to return the gradient of the input."""
        self.input_gradient = wanted
        for layer in self:
            layer.want_input_gradient(wanted)
