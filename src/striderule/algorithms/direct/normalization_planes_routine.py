"""What `normalization_gradient_routine` computes, of short planes: values of one channel of one image, side by side.

There a task is one line, and finding it costs more than a plane of 7x7 takes. Here a task has several channels: sums go
on from image to image in registers before lanes are added up, and planes are written one behind the other. Here is also
their product with a number of each channel.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

from striderule.algorithms.direct.normalization_bend import bend_of, sums_of, write_bent
from striderule.algorithms.direct.normalization_routine import PlaneWriter
from striderule.codegen.target import Target
from striderule.codegen.tile import FLOAT32, FLOAT64, Routine, Size, Vector

SUMS_POINTERS = ("x", "gy", "mean", "plain", "products")
SCALE_POINTERS = ("gy", "slope", "y")
LINE_POINTERS = ("x", "gy", "mean", "slope", "steep", "shift", "y")
NUMBERS = ("mean", "slope", "steep", "shift")
# Values of a plane, elements from one image and from one channel to the next; images of a part, and channels of a task.
SIZES = ("batch", "channels", "length", "image_step", "channel_step", "part_images", "task_channels", "channel_tasks")


class _Planes(PlaneWriter):
    """What both routines share."""

    def __init__(self, name: str, dtype: str, target: Target, pointers: tuple[str, ...]) -> None:
        element = FLOAT64 if dtype == "float64" else FLOAT32
        super().__init__(Routine(name, target, element, pointers=pointers, sizes=SIZES), dtype)

    def text(self) -> str:
        """Return the routine as LLVM IR: a task is one part of some channels."""
        r = self.r
        with r.tasks() as task:
            part, first = task // r.size("channel_tasks"), task % r.size("channel_tasks") * r.size("task_channels")
            images = (r.size("batch") - part * r.size("part_images")).smaller(r.size("part_images"))
            with r.loop((r.size("channels") - first).smaller(r.size("task_channels"))) as number:
                channel = first + number
                start = part * r.size("part_images") * r.size("image_step") + channel * r.size("channel_step")
                self.channel(channel, start, images, part)
        return r.finish()

    @abstractmethod
    def channel(self, channel: Size, start: Size, images: Size, part: Size) -> None:
        """Write what becomes of one channel of a part, whose values begin at `start`."""

    def number(self, word: str, channel: Size) -> Vector:
        """Return a number of a channel."""
        return self.r.broadcast(self.r.pointer(word, FLOAT64) + channel)


def plane_sums_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine of the sums of gy and of gy * (x - mean) of every part of a channel, in float64."""
    return _Sums(name, dtype, target, SUMS_POINTERS).text()


class _Sums(_Planes):
    def channel(self, channel: Size, start: Size, images: Size, part: Size) -> None:
        r = self.r
        x, gy = (r.pointer(word, self.stored) for word in ("x", "gy"))
        mean = self.number("mean", channel)
        plain, products = sums_of(self, x, gy, mean, partial(self.values, start, images))
        for word, value in (("plain", plain), ("products", products)):
            r.store_first(value, r.pointer(word, FLOAT64) + part * r.size("channels") + channel)


def plane_scale_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine of slope * gy, rounded once; a part is one image."""
    return _Scale(name, dtype, target, SCALE_POINTERS).text()


class _Scale(_Planes):
    def channel(self, channel: Size, start: Size, images: Size, _part: Size) -> None:
        r = self.r
        gy, y = (r.pointer(word, self.stored) for word in ("gy", "y"))
        slope = self.number("slope", channel)

        def write(at: Size, rest: Size | None) -> None:
            found = r.convert(self.wide(gy + at, rest) * slope, self.stored)
            r.store(found, y + at, None if rest is None else r.first_lanes(rest))

        self.values(start, images, write)


def plane_line_routine(name: str, dtype: str, target: Target) -> str:
    """Return the routine of slope * gy + steep * (x - mean) + shift; a part is one image."""
    return _Line(name, dtype, target, LINE_POINTERS).text()


class _Line(_Planes):
    def channel(self, channel: Size, start: Size, images: Size, _part: Size) -> None:
        r = self.r
        x, gy, y = (r.pointer(word, self.stored) for word in ("x", "gy", "y"))
        bend = bend_of(r, *(self.number(word, channel) for word in NUMBERS))
        write_bent(self, bend, x, gy, y, partial(self.values, start, images))
