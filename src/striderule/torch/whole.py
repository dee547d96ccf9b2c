"""Models that run as a list of steps where they may, and as their own code says where they must."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn

from striderule.torch.layers import is_plain, untouched
from striderule.torch.program import Program, Untraceable


class Whole:
    """What is put before a model's class: `forward` by steps in inference on the CPU; else the class's own."""

    _plain_forward: Any

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what the model gave before, to rounding."""
        if kwargs or not all(map(is_plain, args)) or _grads(self, args):
            return self._plain_forward(*args, **kwargs)
        program = program_of(self)
        if program is None or len(args) != len(program.inputs):
            return self._plain_forward(*args)
        return program.run(args)

    def __getstate__(self: Any) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_program"}

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        told: Any = super().__reduce_ex__(protocol)
        if told[1] and told[1][0] is type(self):
            return _again, (type(self).__bases__[1], *told[1][1:]), *told[2:]
        return told


def _grads(model: nn.Module, args: tuple[Any, ...]) -> bool:
    return torch.is_grad_enabled() and (
        any(x.requires_grad for x in args) or any(p.requires_grad for p in model.parameters())
    )


def program_of(model: Any) -> Program | None:
    """Return the steps of a model as it is now, or None if it must run as its own code says."""
    if nn.modules.module._has_any_global_hook():  # noqa: SLF001 - hooks that see every module
        return None
    program: Program | None = model.__dict__.get("_program")
    if program is not None and program.holds():
        return program
    if (program is None and "_program" in model.__dict__) or any(one.training for one in model.modules()):
        return None
    found: Program | None
    try:
        found = Program(model)
    except Untraceable:
        found = None
    # What cannot be traced, or whose writes cannot be seen, is not tried again.
    model.__dict__["_program"] = found = found if found is not None and found.holds() else None
    return found


_known: dict[type[nn.Module], type[nn.Module]] = {}


def whole(base: type[nn.Module]) -> type[nn.Module]:
    """Return the class of models that run as a list of steps: the same for every model of a class."""
    if base not in _known:
        told: dict[str, Any] = {name: getattr(base, name) for name in ("__module__", "__qualname__", "__doc__")}
        _known[base] = type(base.__name__, (Whole, base), told | {"_plain_forward": base.forward})
    return _known[base]


def _again(base: type[nn.Module], *arguments: Any) -> nn.Module:
    """Return an empty model, which a copy or what was read fills."""
    kind = whole(base)
    return kind.__new__(kind, *arguments)


def wrapped(model: nn.Module, name: str = "") -> list[tuple[str, nn.Module, Program]]:
    """Let a model run by steps, or else the parts of it that can; return their names and programs."""
    base = type(model)
    already = issubclass(base, Whole)
    fit = not isinstance(model, fx.GraphModule | torch.jit.ScriptModule | nn.ModuleList | nn.ModuleDict)
    if fit and untouched(model) and any(True for _ in model.children()) and not base.__module__.startswith("torch.fx"):
        if not already:
            model.__class__ = whole(base)
        model.__dict__.pop("_program", None)
        modes = {one: one.training for one in model.modules()}
        try:
            for one in modes:
                one.training = False
            program = Program(model)
            if program.chains:
                return [(name, model, program)]
        except Untraceable:
            pass
        finally:
            for one, mode in modes.items():
                one.training = mode
        model.__class__ = base if not already else base.__bases__[1]
    found = []
    for word, child in model.named_children():
        found += wrapped(child, f"{name}.{word}" if name else word)
    return found
