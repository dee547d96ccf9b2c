"""Arrays that a layer keeps: read-only outside, so that what was packed of them cannot grow stale."""

from __future__ import annotations

import itertools
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from striderule.errors import InvalidArgument, InvalidType

Array = NDArray[Any]
# No two states of any parameters have the same number, so that what was packed of one is never taken for another's.
_states = itertools.count()


class Parameter:
    """An array of a layer, with its gradient. Users see `value`; only optimisers and `Layer.edit` write.

    Attributes
    ----------
    value
        The array, read-only: always the same object, so that it shows every change.
    gradient
        The sum of the gradients of the backward passes since `Layer.zero_gradients`, or None.
    trained
        Whether gradients are formed and optimisers change it: not so for buffers, and for what is frozen.
    buffer
        Whether it is a statistic of the layer's, which no gradient belongs to.
    changes
        The number of its state, another after each write: what was made of it before is stale.
    """

    def __init__(self, value: ArrayLike, *, buffer: bool = False) -> None:
        self._store = np.array(value, order="C")
        # Seen through a buffer that is read-only, no flag makes it writeable.
        seen = memoryview(self._store.reshape(-1).view(np.uint8).data).toreadonly()
        self.value: Array = np.frombuffer(seen, self._store.dtype).reshape(self._store.shape)
        self.gradient: Array | None = None
        self.buffer = buffer
        self.trained = not buffer
        self.changes = next(_states)

    def write(self, value: ArrayLike, name: str) -> None:
        """Copy an array of the same shape into it; its type is kept.

        Raises
        ------
        InvalidArgument
            If the shape differs, or the value would lose an imaginary part.
        """
        given = np.asarray(value)
        if given.shape != self.value.shape:
            raise InvalidArgument(f"{name} must have the shape {self.value.shape}, got {given.shape}")
        if not np.can_cast(given.dtype, self.value.dtype, "same_kind"):
            raise InvalidType(f"{name} is {self.value.dtype}, which does not hold {given.dtype}")
        np.copyto(self._store, given, casting="same_kind")
        self.changed()

    def store(self) -> Array:
        """Return the array itself, to be written in place at once: whoever does so says `changed` behind it."""
        self.changed()
        return self._store

    def changed(self) -> None:
        """Tell that the array was written: what was made of it before is stale."""
        self.changes = next(_states)

    def add_gradient(self, gradient: Array) -> None:
        """Add to the gradient."""
        if self.gradient is None:
            self.gradient = gradient
        else:
            self.gradient = self.gradient + gradient

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (np.array(self.value), self.buffer, self.trained)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        return _restored(self.value, self.buffer, self.trained)


def _restored(value: Array, buffer: bool, trained: bool) -> Parameter:
    found = Parameter(value, buffer=buffer)
    found.trained = trained
    return found


class Held:
    """An attribute of a layer that is a `Parameter`: reading it gives the array, assigning writes into it.

    It is None as long as nothing was assigned, and where None was. Inside ``with layer.edit():`` it is a copy to be
    written.
    """

    def __init__(self, *, buffer: bool = False) -> None:
        self.buffer = buffer

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, layer: None, owner: type) -> Held: ...

    @overload
    def __get__(self, layer: Any, owner: type) -> Any: ...

    def __get__(self, layer: Any, owner: type) -> Any:
        """Return the array, or None."""
        if layer is None:
            return self
        found = layer.held().get(self.name)
        if found is None:
            return None
        drafts = layer.drafts
        if drafts is None:
            return found.value
        return drafts.setdefault(self.name, np.array(found.value))

    def __set__(self, layer: Any, value: Any) -> None:
        """Write an array of the same shape; the first one decides about shape and type."""
        held = layer.held()
        known = held.get(self.name)
        if layer.drafts is not None and (value is None) != (known is None):
            raise InvalidArgument(f"{self.name} cannot come or go inside edit(); do that outside")
        if value is None:
            held[self.name] = None
        elif known is None:
            held[self.name] = Parameter(value, buffer=self.buffer)
        elif layer.drafts is not None:
            draft = layer.drafts.setdefault(self.name, np.array(known.value))
            if draft is not value:
                Parameter.write(_Draft(draft), value, self.name)  # type: ignore[arg-type]
        else:
            known.write(value, self.name)


class _Draft:
    """What `Parameter.write` needs of a copy that is being edited."""

    def __init__(self, draft: Array) -> None:
        self.value = self._store = draft

    def changed(self) -> None:
        """Do nothing: nothing is made of drafts."""
