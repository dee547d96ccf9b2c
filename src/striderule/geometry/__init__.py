"""Window arithmetic on plain integers: sizes, padding, boundaries, receptive fields. No arrays."""

from striderule.geometry.padding import (
    BOUNDARIES,
    BOUNDARY_ALIASES,
    PADDING_WORDS,
    boundary_indices,
    boundary_word,
    parse_boundary,
    parse_padding,
    source_index,
)
from striderule.geometry.receptive import ReceptiveField, Window, receptive_field
from striderule.geometry.window import (
    dilated_extent,
    output_size,
    pool_output_size,
    transposed_output_size,
    unfold_size,
)

__all__ = [
    "BOUNDARIES",
    "BOUNDARY_ALIASES",
    "PADDING_WORDS",
    "ReceptiveField",
    "Window",
    "boundary_indices",
    "boundary_word",
    "dilated_extent",
    "output_size",
    "parse_boundary",
    "parse_padding",
    "pool_output_size",
    "receptive_field",
    "source_index",
    "transposed_output_size",
    "unfold_size",
]
