"""The public names with their signatures, as lines of text: what users may rely on.

``make names`` writes tests/data/public-names.txt anew, for changes that are meant.
"""

import inspect
from pathlib import Path

import striderule as sr

SNAPSHOT = Path(__file__).parent / "data" / "public-names.txt"
NAMESPACES = ("errors", "figures", "filters", "geometry", "kernels", "models", "nn", "tour")


def public_values():
    """Return every public name, with dots, and its value: the face first, then each namespace."""
    values = {name: getattr(sr, name) for name in sr.__all__ if name not in NAMESPACES}
    for namespace in NAMESPACES:
        module = getattr(sr, namespace)
        names = getattr(module, "__all__", None) or [name for name in vars(module) if is_own(module, name)]
        values |= {f"{namespace}.{name}": getattr(module, name) for name in sorted(names)}
    return values


def is_own(module, name):
    return getattr(getattr(module, name), "__module__", None) == module.__name__


def public_functions():
    """Return what can be called to compute something: functions, and classes that users make themselves."""
    return {
        name: value
        for name, value in public_values().items()
        if inspect.isroutine(value) or name.startswith("nn.Conv") or name == "geometry.Window"
    }


def signature(value):
    """Return the parameters with their defaults; annotations are left to the type checker."""
    found = inspect.signature(value)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def lines():
    """Return one line for each public name, and one for each public member of a class."""
    listed = []
    for name, value in public_values().items():
        if inspect.isclass(value):
            listed.append(f"class {name}{signature(value) if not issubclass(value, Exception) else bases(value)}")
            listed += members(name, value)
        elif callable(value):
            listed.append(f"{name}{signature(value)}")
        else:
            listed.append(name)
    return listed


def bases(kind):
    return f"({', '.join(base.__name__ for base in kind.__bases__)})"


def members(name, kind):
    ours = {member for base in kind.__mro__ if base.__module__.startswith("striderule") for member in vars(base)}
    for member in sorted(word for word in ours if not word.startswith("_")):
        value = inspect.getattr_static(kind, member)
        function = getattr(value, "__func__", value)
        yield f"    {name}.{member}{signature(function) if inspect.isfunction(function) else ''}"


def main():
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text("\n".join(lines()) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
