"""Shapes of operations, read from text files in the grammar of oneDNN's benchdnn.

``mb1g1ic3ih224iw224oc64oh112ow112kh7kw7sh2sw2ph3pw3dh0dw0n"name*3"``: batch, groups, channels in, input height and
width, channels out, output height and width, kernel, stride, padding, dilation (0 is dense), and a name that ends in
how often the network has it. ``id`` makes it three axes, ``iw`` without ``ih`` one. What is missing for the width is as
for the height, and for the height as for the depth; groups, batch, strides and counts are 1, and padding and dilation
0, unless given. Where nothing slides, plain sizes do: ``1x64x56x56``.

A line that begins with ``--`` holds for the lines below it: ``--deconv`` names the operation (one of `DRIVERS`),
``--alg=max`` the kind of it, ``--dt=u8:s8:s32`` the types of data, weights and result, and ``--axis=1`` the axis of
softmax; ``--reset`` ends all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from striderule import geometry
from striderule.planning.machine import itemsize

FOLDER = Path(__file__).parent / "layers"
# Those of benchdnn, and four of our own; with the kind that is meant where none is named.
DRIVERS = {
    "conv": "", "deconv": "", "pool": "max", "eltwise": "relu", "softmax": "softmax", "bnorm": "", "lrn": "",
    "pad": "constant", "unfold": "", "fold": "", "filter": "",
}  # fmt: skip
SLIDING = ("conv", "deconv", "pool", "unfold", "fold", "filter")
TYPES = {"f32": "float32", "f64": "float64", "s8": "int8", "u8": "uint8", "s16": "int16", "s32": "int32"}

_NAME = re.compile(r'n"(?P<name>[^"*]*)(\*(?P<count>\d+))?"$')
_WORD = re.compile(r"(mb|ls|g|ic|oc|[iokspd][dhw])(\d+)")
_PLAIN = re.compile(r"\d+(x\d+)+")

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """One operation on arrays of (batch, channels, *size); `channels` are those in and out.

    `count` says how often the network has it, `kind` which one of the driver's operations it is, and `extent` is the
    axis of softmax or the number of channels that local response normalisation takes together.
    """

    list_name: str
    name: str
    count: int
    driver: str
    kind: str
    dtypes: tuple[str, str, str]
    batch: int
    groups: int
    channels: tuple[int, int]
    size: Sizes
    kernel: Sizes
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    output: Sizes
    extent: int

    @property
    def full_name(self) -> str:
        """The name with that of the list."""
        return f"{self.list_name}: {self.name}"

    @property
    def rank(self) -> int:
        """How many spatial axes."""
        return len(self.size)

    @property
    def input_shape(self) -> Sizes:
        """The shape of the data."""
        if self.driver == "fold":
            return self._columns
        return (self.batch, self.channels[0], *self.size)

    @property
    def weight_shape(self) -> Sizes:
        """The shape of the weights; empty where there are none."""
        inputs, outputs = self.channels
        if self.driver in ("conv", "filter"):
            return (outputs, inputs // self.groups, *self.kernel)
        return (inputs, outputs // self.groups, *self.kernel) if self.driver == "deconv" else ()

    @property
    def output_shape(self) -> Sizes:
        """The shape of the result."""
        if self.driver == "unfold":
            return self._columns
        return (self.batch, self.channels[1], *self.output)

    @property
    def _columns(self) -> Sizes:
        windows = geometry.output_size(self.size, self.kernel, self.stride, self.padding, self.dilation)
        return (self.batch, self.channels[0] * prod(self.kernel), prod(windows))

    @property
    def output_padding(self) -> Sizes:
        """Positions that a transposed convolution adds at the end."""
        least = _transposed(self)
        return tuple(asked - have for asked, have in zip(self.output, least, strict=True))

    @property
    def multiply_adds(self) -> int:
        """Products of the definition; none where there are no weights."""
        if not self.weight_shape:
            return 0
        slid = self.size if self.driver == "deconv" else self.output
        return self.batch * prod(slid) * self.channels[0] * self.channels[1] // self.groups * prod(self.kernel)

    @property
    def least_bytes(self) -> int:
        """Bytes that must be read or written at least once."""
        shapes = (self.input_shape, self.weight_shape, self.output_shape)
        sizes = (itemsize(dtype) for dtype in self.dtypes)
        return sum(prod(shape) * size for shape, size in zip(shapes, sizes, strict=True) if shape)

    def of_batch(self, batch: int) -> Shape:
        """Return the same for so many images."""
        return replace(self, batch=batch)

    def in_bfloat16(self) -> Shape:
        """Return the same with all arrays in bfloat16."""
        return replace(self, dtypes=("bfloat16",) * 3)


@dataclass(frozen=True, slots=True)
class Options:
    """What the lines that begin with ``--`` have said so far."""

    driver: str = "conv"
    kind: str = ""
    dtypes: tuple[str, str, str] = ("float32", "float32", "float32")
    axis: int = 1

    def after(self, line: str) -> Options:
        """Return the options after one more line of them."""
        options = self
        for part in line.split():
            word, _, value = part.removeprefix("--").partition("=")
            if word == "reset":
                options = Options()
            elif word in DRIVERS and not value:
                options = replace(options, driver=word, kind=DRIVERS[word])
            elif word == "alg" and value:
                options = replace(options, kind=value)
            elif word == "axis" and value.isdecimal():
                options = replace(options, axis=int(value))
            elif word == "dt" and set(value.split(":")) <= set(TYPES) and value.count(":") in (0, 2):
                source, weight, result = (value.split(":") * 3)[:3]
                options = replace(options, dtypes=(TYPES[source], TYPES[weight], TYPES[result]))
            else:
                raise ValueError(f"not an option of these lists: {part!r}")
        return options


def parse(line: str, list_name: str = "", options: Options = Options()) -> Shape:  # noqa: B008 - it is frozen
    """Return the shape that a line stands for.

    >>> parse('ic64ih56oc64oh56kh3ph1n"three*2"').multiply_adds
    115605504
    """
    named = _NAME.search(line)
    words = line[: named.start()] if named else line
    value, axes = _values(words, line, options)

    def sizes(letter: str, default: int = 0) -> Sizes:
        found: list[int] = []
        for axis in axes:
            found.append(value.get(letter + axis, found[-1] if found else default))
        return tuple(found)

    shape = Shape(
        list_name=list_name,
        name=named["name"] if named else words,
        count=int(named["count"] or 1) if named else 1,
        driver=options.driver,
        kind=options.kind or DRIVERS[options.driver],
        dtypes=options.dtypes,
        batch=value.get("mb", 1),
        groups=value.get("g", 1),
        channels=(value["ic"], value.get("oc", value["ic"])),
        size=sizes("i"),
        kernel=sizes("k", 1),
        stride=sizes("s", 1),
        padding=sizes("p"),
        dilation=tuple(n + 1 for n in sizes("d")),
        output=(),
        extent=value.get("ls", options.axis),
    )
    return _with_output(shape, sizes("o") if f"o{axes[0]}" in value else None, line) if axes else shape


def _values(words: str, line: str, options: Options) -> tuple[dict[str, int], str]:
    """Return the numbers of a line by their words, and the axes that it speaks of."""
    if _PLAIN.fullmatch(words):
        batch, channels, *size = map(int, words.split("x"))
        axes = "dhw"[3 - len(size) :]
        return {"mb": batch, "ic": channels} | dict(zip((f"i{axis}" for axis in axes), size, strict=True)), axes
    value = {word: int(number) for word, number in _WORD.findall(words)}
    first = next((axis for axis in "dhw" if f"i{axis}" in value), None)
    needs = {"ic"} | ({"oc"} if options.driver in ("conv", "deconv", "filter") else set())
    slides = options.driver in SLIDING and not options.kind.startswith("adaptive")
    if _WORD.sub("", words) or first is None or not needs <= set(value) or (slides and f"k{first}" not in value):
        raise ValueError(f"not a shape in benchdnn's grammar: {line!r}")
    return value, "dhw"["dhw".index(first) :]


def _with_output(shape: Shape, told: Sizes | None, line: str) -> Shape:
    """Return the shape with the size of its output: the one that follows, or the one told where that decides."""
    if shape.kind.startswith("adaptive"):
        if told is None:
            raise ValueError(f"adaptive pooling needs the size of the output: {line!r}")
        return replace(shape, output=told)
    follows = _follows(shape)
    if told is None or told == follows:
        return replace(shape, output=follows)
    more = zip(told, follows, shape.stride, strict=True)
    if shape.driver == "deconv" and all(0 <= asked - have < step for asked, have, step in more):
        return replace(shape, output=told)  # that is its output padding
    raise ValueError(f"the output is {follows}, not {told}: {line!r}")


def _follows(shape: Shape) -> Sizes:
    if shape.driver == "deconv":
        return _transposed(shape)
    if shape.driver == "pad":
        return tuple(n + 2 * more for n, more in zip(shape.size, shape.padding, strict=True))
    if shape.driver in ("conv", "pool", "filter"):
        return tuple(geometry.output_size(shape.size, shape.kernel, shape.stride, shape.padding, shape.dilation))
    return shape.size


def _transposed(shape: Shape) -> Sizes:
    return tuple(geometry.transposed_output_size(shape.size, shape.kernel, shape.stride, shape.padding, shape.dilation))


def read(path: Path) -> list[Shape]:
    """Return the shapes of a file; empty lines and comments are skipped."""
    options, shapes = Options(), []
    for line in (line.strip() for line in path.read_text(encoding="utf-8").splitlines()):
        if line.startswith("--"):
            options = options.after(line)
        elif line and not line.startswith("#"):
            shapes.append(parse(line, path.stem, options))
    return shapes
