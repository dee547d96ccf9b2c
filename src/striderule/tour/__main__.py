"""``python -m striderule.tour``: build the tour and say where to look."""

from __future__ import annotations

import argparse
import sys

from striderule.errors import StrideruleError
from striderule.tour import build


def main(arguments: list[str] | None = None) -> int:
    """Build the tour from command-line arguments and return the exit code: 0, or 2 for a mistake in the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m striderule.tour",
        description="Fifteen chapters on convolution, as a page, pictures and notebooks.",
    )
    parser.add_argument("--image", metavar="PHOTO", help="run the chapters on your own picture")
    parser.add_argument("--out", metavar="DIR", default="tour", help="where to write (default: tour)")
    parser.add_argument("--chapter", metavar="N", type=int, help="build only this chapter (1 to 15)")
    words = parser.parse_args(arguments)
    try:
        index = build(words.out, image=words.image, chapter=words.chapter, progress=_report)
    except StrideruleError as problem:
        print(f"striderule: {problem}", file=sys.stderr)
        return 2
    print(f"\nThe tour is ready. Open it in a browser:\n  {index.resolve().as_uri()}")
    return 0


def _report(done: int, total: int, title: str) -> None:
    print(f"[{done:2d}/{total}] {title}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
