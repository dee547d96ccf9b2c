"""The ways to compute a shape: ours, and the fastest ways of the peers that are installed."""

from benchmarks.shapes import Shape
from benchmarks.ways import convolution, copies, elementwise, images, pooling
from benchmarks.ways.contest import OURS, PEERS, Contest, Setting, Way, installed, share_threads

__all__ = ["OURS", "PEERS", "Contest", "Setting", "Way", "contest", "installed", "share_threads"]

FAMILIES = {
    "conv": convolution.contest, "deconv": convolution.contest, "pool": pooling.contest, "filter": images.contest,
    "eltwise": elementwise.contest, "softmax": elementwise.contest, "bnorm": elementwise.contest,
    "lrn": elementwise.contest, "pad": copies.contest, "unfold": copies.contest, "fold": copies.contest,
}  # fmt: skip


def contest(shape: Shape, setting: Setting) -> Contest:
    """Return the contest of a shape."""
    return FAMILIES[shape.driver](shape, setting)
