"""The public functions that `striderule.vjp` does not differentiate, and why.

Everything else that takes arrays of floats has a gradient. What works in none: settings and questions (`halo`,
`explain`...), of which nothing depends on numbers in arrays; `canny`, whose result is true or false; `gabor`, whose
result is complex (the parts of its kernel go with `correlate` or `bank`); pyramids of several layers, which are lists
(`pyramid_reduce` and `pyramid_expand` make them). With `like=` filters follow other libraries to the last bit, and have
no gradient then; nor has `match_template` around missing pixels.
"""

from __future__ import annotations

_NO_ARRAYS = "its result depends on no numbers in arrays"
_A_LIST = "it gives several arrays in a list; differentiate pyramid_reduce and pyramid_expand"
_A_GRADIENT = "it is a gradient, linear in each of its arrays: differentiate the convolution instead"

# Names, with that of the namespace, and reasons.
WITHOUT = {
    "compile": "it gives a function; differentiate the function that is compiled",
    "conv_input_grad": _A_GRADIENT,
    "conv_weight_grad": _A_GRADIENT,
    "explain": _NO_ARRAYS,
    "filters.canny": "its result is true or false",
    "filters.gabor": "its result is complex; differentiate correlate with the parts of kernels.gabor",
    "filters.pyramid_gaussian": _A_LIST,
    "filters.pyramid_laplacian": _A_LIST,
    "get_default_precision": _NO_ARRAYS,
    "get_num_threads": _NO_ARRAYS,
    "halo": _NO_ARRAYS,
    "precision": _NO_ARRAYS,
    "set_default_precision": _NO_ARRAYS,
    "set_num_threads": _NO_ARRAYS,
    "show_config": _NO_ARRAYS,
    "vjp": "it pulls gradients back itself",
}
