"""How to compute: one package for each algorithm, one module in it for each family of operations.

Every algorithm has the same modules with the same functions, so `table.family` finds the one that was chosen.
"""
