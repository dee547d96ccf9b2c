"""What all layers have in common."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.codegen.target import forced
from striderule.errors import InvalidArgument, InvalidType
from striderule.functional.compiled import Compiled
from striderule.functional.compiled import compile as compiled
from striderule.functional.gradients.call import Pull
from striderule.functional.gradients.vjp import differentiated
from striderule.functional.planned import noted
from striderule.functional.precision import standing, under
from striderule.nn.parameter import Held, Parameter
from striderule.planning import TRAINED

Array = NDArray[Any]


class Layer(ABC):
    """A function of an array that may hold arrays of its own: its parameters.

    A layer defines `forward`; calling it is the same. One that is to be trained defines `backward` too. Parameters are
    attributes of the class made by `Held`; attributes that are layers are its children.

    Parameters are read-only arrays. To change one assign another of its shape, ``layer.weight = new``, or write inside
    ``with layer.edit():``. So a layer knows when its weights change, and what it packed of them is never stale.

    Attributes
    ----------
    training
        Whether `forward` keeps what `backward` needs: so at first. See `train` and `eval`.
    """

    training: bool = True
    # Whether backward returns the gradient of the input, which the first layer of a network does not need.
    input_gradient: bool = True
    # Copies of parameters inside `edit`, else None.
    drafts: dict[str, Array] | None = None

    @abstractmethod
    def forward(self, x: ArrayLike) -> Array:
        """Return the layer's output for the input `x`."""

    def backward(self, gy: ArrayLike) -> Array | None:  # noqa: ARG002 - layers that are trained define it
        """Return the gradient with respect to the input of the last `forward`, and add those of the parameters up.

        Parameters
        ----------
        gy
            The gradient with respect to the output, of its shape.

        Returns
        -------
        numpy.ndarray or None
            The gradient with respect to the input, of its shape; None where `input_gradient` is False.
        """
        raise InvalidType(f"{type(self).__name__} defines no backward")

    def __call__(self, x: ArrayLike) -> Array:
        """Return ``forward(x)``."""
        return self.forward(x)

    # What it holds ----------------------------------------------------------------------------------------------------

    def held(self) -> dict[str, Parameter | None]:
        """Return the layer's own parameters and buffers by name; None stands for those that it does without."""
        found: dict[str, Parameter | None] = self.__dict__.setdefault("_held", {})
        return found

    def children(self) -> dict[str, Layer]:
        """Return the layers that it is made of, by name. A name that begins with a dot adds nothing to their names."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Layer)}

    def layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield the layer and all below it, each with its name, parents first."""
        yield prefix, self
        for name, child in self.children().items():
            yield from child.layers(prefix if name.startswith(".") else f"{prefix}.{name}" if prefix else name)

    def all_held(self) -> dict[str, Parameter]:
        """Return all parameters and buffers, those of the children too, by names like ``layer1.0.conv1.weight``."""
        found: dict[str, Parameter] = {}
        for prefix, layer in self.layers():
            for name, one in layer.held().items():
                whole = f"{prefix}.{name}" if prefix else name
                if one is None:
                    continue
                if whole in found:
                    raise InvalidArgument(f"two parameters are named {whole!r}; name the layers that hold them apart")
                found[whole] = one
        return found

    def parameters(self) -> dict[str, Array]:
        """Return all parameters by name, read-only, those of the children too. Buffers are left out: see `state`."""
        return {name: one.value for name, one in self.all_held().items() if not one.buffer}

    def gradients(self) -> dict[str, Array | None]:
        """Return the gradients of all parameters by name; None where `backward` has not run."""
        return {name: one.gradient for name, one in self.all_held().items() if not one.buffer}

    def state(self) -> dict[str, Array]:
        """Return all parameters and buffers by name, read-only: what is saved."""
        return {name: one.value for name, one in self.all_held().items()}

    def load_state(self, state: Mapping[str, ArrayLike]) -> Self:
        """Write parameters and buffers by name: all of them, or nothing is changed.

        Raises
        ------
        InvalidArgument
            If names are missing or unknown, or a shape differs; it says which.
        """
        held = self.all_held()
        missing, unknown = sorted(held.keys() - state.keys()), sorted(state.keys() - held.keys())
        if missing or unknown:
            said = [f"{word}: {_few(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names]
            raise InvalidArgument(f"state must hold the parameters of this layer; {'; '.join(said)}")
        given = {name: np.asarray(value) for name, value in state.items()}
        wrong = [
            f"{name} has the shape {given[name].shape}, the layer's has {one.value.shape}"
            for name, one in held.items()
            if given[name].shape != one.value.shape
        ]
        if wrong:
            raise InvalidArgument(f"shapes must be those of the layer: {_few(wrong)}")
        odd = [f"{name} is {value.dtype}" for name, value in given.items() if value.dtype.kind not in "fiub"]
        if odd:
            raise InvalidType(f"state must hold real numbers: {_few(odd)}")
        # Everything is converted before anything is written.
        ready = {name: given[name].astype(one.value.dtype, copy=False) for name, one in held.items()}
        for name, one in held.items():
            one.write(ready[name], name)
        return self

    def zero_gradients(self) -> None:
        """Forget the gradients, so that the next `backward` begins anew."""
        for one in self.all_held().values():
            one.gradient = None

    @contextlib.contextmanager
    def edit(self) -> Iterator[Self]:
        """Let parameters be written: ``with layer.edit(): layer.weight[0] = 0``.

        Inside, parameters are copies. They are written back at the end; after an exception nothing is changed.

        Examples
        --------
        >>> from striderule.nn import ConvLayer
        >>> layer = ConvLayer(1, 1, 3, seed=0)
        >>> with layer.edit():
        ...     layer.weight[...] = 0
        >>> float(abs(layer.weight).max())
        0.0
        """
        everyone = [layer for _, layer in self.layers()]
        if any(layer.drafts is not None for layer in everyone):
            raise InvalidArgument("the layer is being edited already: write inside one edit() at a time")
        for layer in everyone:
            layer.drafts = {}
        try:
            yield self
        except BaseException:
            for layer in everyone:
                layer.drafts = None
            raise
        for layer in everyone:
            drafts, layer.drafts = layer.drafts or {}, None
            for name, draft in drafts.items():
                one = layer.held()[name]
                assert one is not None  # only what is there was copied
                one.write(draft, name)

    # Modes ------------------------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Let `forward` keep what `backward` needs, and normalisation and dropout do what they do in training."""
        for _, layer in self.layers():
            layer.training = mode
            layer.release()
        return self

    def eval(self) -> Self:
        """Let `forward` keep nothing, and weights be packed once for inputs of the same shape."""
        return self.train(False)

    def freeze(self, frozen: bool = True) -> Self:
        """Let training leave the parameters as they are (and the layer, else, in its mode)."""
        for one in self.all_held().values():
            one.trained = not (frozen or one.buffer)
        return self

    def want_input_gradient(self, wanted: bool) -> None:
        """Say whether `backward` has to return the gradient of the input."""
        self.input_gradient = wanted

    def release(self) -> None:  # noqa: B027 - not every layer keeps something
        """Forget what the last `forward` kept for `backward`."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_pull", "_packed", "drafts")}


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


class Operation(Layer):
    """A layer that is one function of striderule, with the arrays that it holds for arguments.

    `operation` returns the function and all of its arguments but the first by name; parameters go under their own
    names. `backward` follows from it.
    """

    # Inputs of different shapes that weights are packed for; the eldest goes.
    MOST: ClassVar[int] = 4
    # Buffers that the function updates in place in training: then it is given the arrays that can be written.
    UPDATED: ClassVar[tuple[str, ...]] = ()
    _pull: Pull | None = None

    @abstractmethod
    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function, and its arguments behind the first by name."""

    def forward(self, x: ArrayLike) -> Array:
        """Return the function of `x`."""
        op, words = self.operation()
        planned = noted.get() is not None
        if self.training:
            for name in self.UPDATED:
                one = self.held().get(name)
                if one is not None:
                    words[name] = np.array(one.value) if planned else one.store()
        if planned:
            return self._first(op(x, **words))
        if not self.training:
            return self._first(self._bound(op, words, x))
        return self._first(self._trained(x, op, words))

    def _trained(self, x: ArrayLike, op: Callable[..., Any], words: dict[str, Any]) -> Any:
        """Return the function of `x` and of its arguments by name, and keep what `backward` needs."""
        wanted = {name for name, one in self.held().items() if one is not None and one.trained}
        wanted |= {"x"} if self.input_gradient else set()
        with under(standing()._replace(images=TRAINED)):
            result, self._pull = differentiated(op, {"x": x, **words}, frozenset(wanted))
        return result

    def backward(self, gy: ArrayLike) -> Array | None:
        """Return the gradient with respect to the input of the last `forward`, and add those of the parameters up."""
        pull, self._pull = self._pull, None
        if pull is None:
            raise InvalidArgument(
                f"backward of {type(self).__name__} needs a forward in training mode before each: call layer.train()"
            )
        found = pull(np.asarray(gy))
        for name, one in self.held().items():
            gradient = found.get(name)
            if one is not None and one.trained and gradient is not None:
                one.add_gradient(gradient.astype(one.value.dtype, copy=False))
        return found.get("x")

    def release(self) -> None:
        """Forget what the last `forward` kept, and what was packed."""
        self._pull = None
        vars(self).pop("_packed", None)

    def _bound(self, op: Callable[..., Any], words: dict[str, Any], x: ArrayLike) -> Any:
        """Return the result by a call whose weights are packed: once for each shape, until they change."""
        held = [one for one in self.held().values() if one is not None]
        if not held or self.drafts is not None or type(x) is not np.ndarray:
            return op(x, **words)
        changes = tuple(one.changes for one in held)
        key = (x.shape, x.dtype, standing(), forced(), op, _words_key(words))
        packed: dict[Any, tuple[Any, Compiled]] = self.__dict__.setdefault("_packed", {})
        known = packed.get(key)
        if known is None or known[0] != changes:
            if known is None and len(packed) >= self.MOST:
                packed.pop(next(iter(packed)), None)
            known = packed[key] = (changes, compiled(op, x, **words))
        return known[1](x)

    def _first(self, result: Any) -> Array:
        """Return the first result, where a function gives several."""
        found: Array = result[0] if isinstance(result, tuple) else result
        return found

    def __compile__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Return what `striderule.compile` binds: the function, and its arguments behind x."""
        op, words = self.operation()
        return op, (), words


def _words_key(words: dict[str, Any]) -> str:
    """Return what tells words apart that are no arrays."""
    return repr([(name, value) for name, value in words.items() if not isinstance(value, np.ndarray)])


__all__ = ["Held", "Layer", "Operation", "Parameter"]
