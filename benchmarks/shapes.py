"""Shapes of convolutions, read from text files in the grammar of oneDNN's benchdnn.

``mb1g1ic3ih224iw224oc64oh112ow112kh7kw7sh2sw2ph3pw3dh0dw0n"name"``: batch, groups, channels in, input height and
width, channels out, output height and width, kernel, stride, padding, dilation (0 is dense) and a name. What is missing
for the width is as for the height; groups, batch and strides are 1, and padding and dilation 0, unless given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from striderule import geometry

FOLDER = Path(__file__).parent / "layers"
_NAME = re.compile(r'n"(?P<name>[^"]*)"$')
_WORD = re.compile(r"(mb|g|ic|oc|[iokspd][hw])(\d+)")


@dataclass(frozen=True, slots=True)
class Shape:
    """One convolution of two axes."""

    list_name: str
    name: str
    batch: int
    groups: int
    channels: tuple[int, int]
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def full_name(self) -> str:
        """The name with that of the list."""
        return f"{self.list_name}: {self.name}"

    @property
    def output(self) -> tuple[int, int]:
        """Height and width of the output."""
        height, width = geometry.output_size(self.size, self.kernel, self.stride, self.padding, self.dilation)
        return height, width

    @property
    def multiply_adds(self) -> int:
        """Products of the definition."""
        inputs, outputs = self.channels
        height, width = self.output
        return self.batch * outputs * height * width * inputs // self.groups * self.kernel[0] * self.kernel[1]

    @property
    def elements(self) -> int:
        """Numbers that must be read or written at least once."""
        inputs, outputs = self.channels
        moved = self.batch * (inputs * self.size[0] * self.size[1] + outputs * self.output[0] * self.output[1])
        return moved + outputs * inputs // self.groups * self.kernel[0] * self.kernel[1]


def parse(line: str, list_name: str = "") -> Shape:
    """Return the shape that a line stands for.

    >>> parse('ic64ih56oc64oh56kh3ph1n"three"').multiply_adds
    115605504
    """
    named = _NAME.search(line)
    words = line[: named.start()] if named else line
    value = {word: int(number) for word, number in _WORD.findall(words)}
    if _WORD.sub("", words) or not {"ic", "ih", "oc", "kh"} <= set(value):
        raise ValueError(f"not a shape in benchdnn's grammar: {line!r}")

    def pair(letter: str, default: int = 0) -> tuple[int, int]:
        height = value.get(f"{letter}h", default)
        return height, value.get(f"{letter}w", height)

    shape = Shape(
        list_name=list_name,
        name=named["name"] if named else words,
        batch=value.get("mb", 1),
        groups=value.get("g", 1),
        channels=(value["ic"], value["oc"]),
        size=pair("i"),
        kernel=pair("k"),
        stride=pair("s", 1),
        padding=pair("p"),
        dilation=(pair("d")[0] + 1, pair("d")[1] + 1),
    )
    if "oh" in value and pair("o") != shape.output:
        raise ValueError(f"the output is {shape.output}, not {pair('o')}: {line!r}")
    return shape


def read(path: Path) -> list[Shape]:
    """Return the shapes of a file; empty lines and comments are skipped."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [parse(line, path.stem) for line in lines if line and not line.startswith("#")]
