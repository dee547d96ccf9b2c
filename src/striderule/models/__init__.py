"""Networks that made history, each in a short file: read in order they are a survey of ideas.

| network | year | the idea |
|---|---|---|
| `lenet5` | 1998 | learned kernels, shared over the image, between poolings |
| `vgg16` | 2014 | depth by nothing but 3x3 |
| `resnet18`, `resnet50` | 2015 | layers learn what to add to their input |
| `unet` | 2015 | down to see far, up to see where, with bridges between |
| `densenet121` | 2016 | every layer sees all layers before it |
| `mobilenet_v2` | 2018 | depthwise between narrow bottlenecks |
| `convnext_tiny` | 2022 | what a convolution learns from transformers |

Names of parameters are torchvision's, so that published weights load: see `striderule.nn.load`. Survey: Khan, Sohail,
Zahoora and Qureshi, arXiv:1901.06032.
"""

from striderule.models.convnext import convnext_tiny
from striderule.models.densenet import densenet121
from striderule.models.lenet import lenet5
from striderule.models.mobilenet import mobilenet_v2
from striderule.models.resnet import resnet18, resnet50
from striderule.models.unet import unet
from striderule.models.vgg import vgg16

__all__ = ["convnext_tiny", "densenet121", "lenet5", "mobilenet_v2", "resnet18", "resnet50", "unet", "vgg16"]
