"""Which way to compute: pure decisions, no arrays."""

from striderule.planning.choose import PRECISIONS, Plan, algorithm_word, choose, precision_word

__all__ = ["PRECISIONS", "Plan", "algorithm_word", "choose", "precision_word"]
