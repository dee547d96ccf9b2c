"""What to read.

Good places to go on from here.
"""

# %% [markdown]
# ## Books and courses
#
# - Ian Goodfellow, Yoshua Bengio and Aaron Courville, [Deep Learning](https://www.deeplearningbook.org/), MIT
#   Press 2016. Chapter 9 explains convolutional networks, and why most of them correlate.
# - [CS231n](https://cs231n.github.io/convolutional-networks/), Stanford's course on deep learning for vision:
#   notes on layers, sizes and well-known networks.
#
# ## Papers
#
# - Vincent Dumoulin and Francesco Visin, [A guide to convolution arithmetic for deep
#   learning](https://arxiv.org/abs/1603.07285), 2016. Every size formula of these chapters, with drawings, and
#   transposed convolution, which they leave out.
# - Asifullah Khan and others, [A survey of the recent architectures of deep convolutional neural
#   networks](https://arxiv.org/abs/1901.06032), 2019.
# - Kaiming He and others, [Delving deep into rectifiers](https://arxiv.org/abs/1502.01852), 2015. How to scale
#   random kernels (chapter 9).
# - Fisher Yu and Vladlen Koltun, [Multi-scale context aggregation by dilated
#   convolutions](https://arxiv.org/abs/1511.07122), 2015 (chapter 12).
# - Andrew Howard and others, [MobileNets](https://arxiv.org/abs/1704.04861), 2017, and François Chollet,
#   [Xception](https://arxiv.org/abs/1610.02357), 2016: networks of depthwise separable layers (chapter 13).
#
# ## Documentation
#
# - PyTorch: [torch.nn.functional](https://pytorch.org/docs/stable/nn.functional.html). The functions of this library
#   bear the same names.
# - TensorFlow: [tf.nn](https://www.tensorflow.org/api_docs/python/tf/nn), the other common framework.
# - SciPy: [scipy.ndimage](https://docs.scipy.org/doc/scipy/reference/ndimage.html), filters for images of any
#   rank.
