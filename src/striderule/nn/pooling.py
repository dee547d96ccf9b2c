"""Pooling layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from striderule.functional import adaptive_pooling, lp_pooling, pooling
from striderule.geometry.arguments import per_axis
from striderule.nn.layer import Operation


class Pooling(Operation):
    """What pooling layers have in common: no parameters, one function, words that are attributes."""

    rank: ClassVar[int] = 2
    function: ClassVar[Callable[..., Any]]
    words: ClassVar[tuple[str, ...]]

    def operation(self) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the function, and its arguments behind x."""
        return type(self).function, {name: getattr(self, name) for name in self.words}

    def __repr__(self) -> str:
        usual = {"padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True, "divisor_override": None}
        shown = [
            f"{name}={getattr(self, name)!r}"
            for name in self.words
            if name not in usual or getattr(self, name) != usual[name]
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


class _Max(Pooling):
    words = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, *, ceil_mode: bool = False
    ) -> None:
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else per_axis(stride, self.rank, "stride", 1)
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode


class MaxPool1d(_Max):
    """The largest value of each window of a sequence, as `striderule.max_pool1d`, whose words it takes."""

    rank = 1
    function = staticmethod(pooling.max_pool1d)


class MaxPool2d(_Max):
    """The largest value of each window of an image, as `striderule.max_pool2d`, whose words it takes.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPool2d(2).eval()(np.zeros((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    function = staticmethod(pooling.max_pool2d)


class MaxPool3d(_Max):
    """The largest value of each window of a volume, as `striderule.max_pool3d`, whose words it takes."""

    rank = 3
    function = staticmethod(pooling.max_pool3d)


class _Avg(Pooling):
    words = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else per_axis(stride, self.rank, "stride", 1)
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override


class AvgPool1d(_Avg):
    """The mean of each window of a sequence, as `striderule.avg_pool1d`, whose words it takes."""

    rank = 1
    function = staticmethod(pooling.avg_pool1d)


class AvgPool2d(_Avg):
    """The mean of each window of an image, as `striderule.avg_pool2d`, whose words it takes.

    Examples
    --------
    >>> import numpy as np
    >>> AvgPool2d(3, stride=2, padding=1).eval()(np.zeros((1, 3, 8, 8))).shape
    (1, 3, 4, 4)
    """

    function = staticmethod(pooling.avg_pool2d)


class AvgPool3d(_Avg):
    """The mean of each window of a volume, as `striderule.avg_pool3d`, whose words it takes."""

    rank = 3
    function = staticmethod(pooling.avg_pool3d)


class _Norm(Pooling):
    words = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        self.norm_type = norm_type
        self.kernel_size = per_axis(kernel_size, self.rank, "kernel_size", 1)
        self.stride = self.kernel_size if stride is None else per_axis(stride, self.rank, "stride", 1)
        self.ceil_mode = ceil_mode


class LPPool1d(_Norm):
    """The p-norm of each window of a sequence, as `striderule.lp_pool1d`, whose words it takes."""

    rank = 1
    function = staticmethod(lp_pooling.lp_pool1d)


class LPPool2d(_Norm):
    """The p-norm of each window of an image, as `striderule.lp_pool2d`, whose words it takes.

    Examples
    --------
    >>> import numpy as np
    >>> LPPool2d(2, 2).eval()(np.ones((1, 1, 2, 2)))
    array([[[[2.]]]])
    """

    function = staticmethod(lp_pooling.lp_pool2d)


class LPPool3d(_Norm):
    """The p-norm of each window of a volume, as `striderule.lp_pool3d`, whose words it takes."""

    rank = 3
    function = staticmethod(lp_pooling.lp_pool3d)


class _Adaptive(Pooling):
    words = ("output_size",)

    def __init__(self, output_size: Any) -> None:
        self.output_size = output_size


class AdaptiveAvgPool1d(_Adaptive):
    """Means of as many windows as the output has positions, as `striderule.adaptive_avg_pool1d`."""

    rank = 1
    function = staticmethod(adaptive_pooling.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(_Adaptive):
    """Means of as many windows as the output has positions, as `striderule.adaptive_avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> AdaptiveAvgPool2d((7, 7)).eval()(np.zeros((1, 3, 20, 30))).shape
    (1, 3, 7, 7)
    """

    function = staticmethod(adaptive_pooling.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(_Adaptive):
    """Means of as many windows as the output has positions, as `striderule.adaptive_avg_pool3d`."""

    rank = 3
    function = staticmethod(adaptive_pooling.adaptive_avg_pool3d)


class AdaptiveMaxPool1d(_Adaptive):
    """The largest of as many windows as the output has positions, as `striderule.adaptive_max_pool1d`."""

    rank = 1
    function = staticmethod(adaptive_pooling.adaptive_max_pool1d)


class AdaptiveMaxPool2d(_Adaptive):
    """The largest of as many windows as the output has positions, as `striderule.adaptive_max_pool2d`."""

    function = staticmethod(adaptive_pooling.adaptive_max_pool2d)


class AdaptiveMaxPool3d(_Adaptive):
    """The largest of as many windows as the output has positions, as `striderule.adaptive_max_pool3d`."""

    rank = 3
    function = staticmethod(adaptive_pooling.adaptive_max_pool3d)


class _Global:
    """All positions are one window, and axes of size 1 remain."""

    def __init__(self) -> None:
        self.output_size = 1

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class GlobalAvgPool1d(_Global, AdaptiveAvgPool1d):
    """The mean of each channel of a sequence; an axis of size 1 remains."""


class GlobalAvgPool2d(_Global, AdaptiveAvgPool2d):
    """The mean of each channel of an image; two axes of size 1 remain.

    Source: Lin, Chen and Yan, "Network In Network", arXiv:1312.4400, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAvgPool2d().eval()(np.zeros((2, 3, 8, 8))).shape
    (2, 3, 1, 1)
    """


class GlobalAvgPool3d(_Global, AdaptiveAvgPool3d):
    """The mean of each channel of a volume; three axes of size 1 remain."""


class GlobalMaxPool1d(_Global, AdaptiveMaxPool1d):
    """The largest value of each channel of a sequence; an axis of size 1 remains."""


class GlobalMaxPool2d(_Global, AdaptiveMaxPool2d):
    """The largest value of each channel of an image; two axes of size 1 remain."""


class GlobalMaxPool3d(_Global, AdaptiveMaxPool3d):
    """The largest value of each channel of a volume; three axes of size 1 remain."""
