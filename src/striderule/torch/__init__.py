"""striderule for those who have PyTorch: its convolutions as PyTorch operators, and models that use them.

The operators share memory with the tensors, have gradients, and can be traced and compiled. Sums keep what the word of
``torch.get_float32_matmul_precision()`` promises, which is one of `striderule.precision`'s, unless told otherwise.

>>> import torch
>>> from striderule.torch import conv2d
>>> conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2)).shape
torch.Size([1, 1, 2, 2])
"""

from striderule.errors import MissingExtra

try:
    import torch as _torch  # noqa: F401 - said here, in one line, where it is missing
except ImportError:
    raise MissingExtra.of("torch", needs="torch") from None

from striderule.torch.accelerate import Report, accelerate
from striderule.torch.functional import (
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)

__all__ = [
    "Report", "accelerate", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
]  # fmt: skip
