"""The definitions as plain loops over Python numbers: slow, obvious, the oracle of the tests."""
