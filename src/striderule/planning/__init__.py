"""Which way to compute: pure decisions, no arrays."""

from striderule.planning.choose import TRAINED, Candidate, Plan, Plans, algorithm_word, choose, forget, precision_word
from striderule.planning.machine import Machine
from striderule.planning.rules import PRECISIONS

__all__ = [
    "PRECISIONS",
    "TRAINED",
    "Candidate",
    "Machine",
    "Plan",
    "Plans",
    "algorithm_word",
    "choose",
    "forget",
    "precision_word",
]
