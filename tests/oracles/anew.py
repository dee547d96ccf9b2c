"""Let the library forget all that it keeps between calls, so that a test begins as a process does."""

import sys

from striderule import planning
from striderule.algorithms.direct import proof
from striderule.codegen import target
from striderule.functional import recipes


def forget():
    """Forget the forced target, recipes, plans, trials, and what the algorithms keep of problems.

    Routines stay where `jit` has them.
    """
    target.forget()
    recipes.forget()
    planning.forget()
    proof.forget()
    for name, module in list(sys.modules.items()):
        if name.startswith(("striderule.algorithms", "striderule.functional")):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
