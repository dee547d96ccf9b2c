"""The errors of the library: one base and its few kinds.

Each kind is also the built-in error that Python users expect in its place, so ``except ValueError`` keeps working.
"""

from __future__ import annotations


class StrideruleError(Exception):
    """Base of every error that striderule raises on purpose."""


class InvalidArgument(StrideruleError, ValueError):
    """An argument has a value that the operation does not accept."""


class InvalidType(StrideruleError, TypeError):
    """An argument is of a kind that the operation does not accept."""


class UnprovenRange(StrideruleError, OverflowError):
    """Integers might not fit their type, so the result would not be exact."""


class MissingExtra(StrideruleError, ImportError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, extra: str, *, needs: str) -> MissingExtra:
        """Return the one-line error that names the extra which brings the package `needs`."""
        return cls(f"{needs} is not installed; it comes with: pip install 'striderule[{extra}]'")


class CompilationFailed(StrideruleError, RuntimeError):
    """Machine code could not be made or loaded; what needs it is computed without."""


class CompilerMissing(CompilationFailed, ImportError):
    """The compiler library, llvmlite, is absent, too old or broken."""
