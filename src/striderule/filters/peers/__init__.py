"""How other libraries' filters arrive at their numbers: one module a library, one function a filter.

Nothing is imported from them. Each function takes a `Request` and the library's arguments under our names, and returns
the array that the library returns: the same sums in the same order, the same rounding, the same type.
"""
