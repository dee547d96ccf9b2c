"""Mistakes of the caller become one line on the standard error stream and exit code 2."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from striderule.errors import StrideruleError

MISTAKE, INTERRUPTED = 2, 130

# Typer carries its own copy of Click or uses the installed one, depending on its version; this is the right one's.
UsageProblem: type[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def fail(message: str, code: int = MISTAKE) -> NoReturn:
    """Print one line and leave."""
    line = " ".join(message.split())
    sys.stderr.write(f"striderule: {line}\n")
    sys.exit(code)


def _forget_output() -> None:
    """Let what is still to be printed go nowhere: Python would try again at its end, and fail in many lines."""
    # Where the output is no real file there is nothing to redirect.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let the request to end (SIGTERM) be an ordinary exit, so that half-written files are taken away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _given(parameter: Any, words: list[str]) -> str | None:
    """Return the value that the command line gives to an option, which not every version of Typer says."""
    for option in getattr(parameter, "opts", ()):
        for word, following in itertools.zip_longest(words, words[1:]):
            if word == option and following is not None:
                return following
            if option.startswith("--") and word.startswith(f"{option}="):
                return word.partition("=")[2]
    return None


class Commands(TyperGroup):
    """The group of commands, answering every expected error in one line."""

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command and leave with its exit code."""
        # Typer would print a framed report of several lines; the errors are answered here instead.
        extra["standalone_mode"] = False
        try:
            with _ended_in_order():
                words = list(sys.argv[1:] if args is None else args)
                result = super().main(args, prog_name, *more[:1], **extra)
        except (typer.Abort, KeyboardInterrupt):
            fail("interrupted", INTERRUPTED)
        except StrideruleError as error:
            fail(str(error))
        except OSError as error:
            _forget_output()
            fail(f"{error.filename or 'what was to be printed'} cannot be written or read: {error.strerror or error}")
        except MemoryError as error:
            fail(f"not enough memory{f': {error}' if str(error) else ''}")
        except Exception as error:
            if not isinstance(error, UsageProblem):
                raise
            self._usage(error, words)
        if result == INTERRUPTED:
            fail("interrupted", INTERRUPTED)
        sys.exit(result if isinstance(result, int) else 0)

    def _usage(self, error: Any, words: list[str]) -> NoReturn:
        message = str(error.format_message()).rstrip(".").replace("Value error, ", "")
        given = _given(getattr(error, "param", None), words)
        if given is not None and f"'{given}'" not in message:
            message += f", got {given!r}"
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "striderule"
        fail(f"{message[:1].lower()}{message[1:]}; see {path} --help")
