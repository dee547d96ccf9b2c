"""``python -m striderule``: the same as the command ``striderule``."""

from __future__ import annotations

import sys

from striderule.errors import MissingExtra


def main() -> None:
    """Run the command line; without the packages of the extra ``cli`` say so in one line and exit with code 2."""
    try:
        import rich  # noqa: F401, PLC0415 - Typer starts without it, the commands do not

        from striderule.cli.app import app  # noqa: PLC0415 - Typer and Rich are optional
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in ("typer", "rich"):
            raise
        sys.stderr.write(f"striderule: {MissingExtra.of('cli', needs=error.name)}\n")
        sys.exit(2)
    app(prog_name="striderule")


if __name__ == "__main__":
    main()
