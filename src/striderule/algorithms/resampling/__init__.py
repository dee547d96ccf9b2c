"""Lines at other numbers of places: each element of the result a weighted sum of a few neighbours."""
