"""What the tests ask of AArch64 assembly."""

import re

_LABEL = re.compile(r"(\.L\w+):")
_BRANCH = re.compile(r"\t(?:b|b\.\w+|cbz|cbnz|tbz|tbnz)\t(?:.*\s)?(\.L\w+)$")
# LLVM's own words for copying and filling; they are in every C library.
_GRANTED = {"memcpy", "memset", "memmove"}


def calls(text):
    """Return the functions that the code calls, but those that copy and fill memory."""
    return {name for name in re.findall(r"\tbl?\t([A-Za-z_]\w*)", text) if name not in _GRANTED} | set(
        re.findall(r"\tblr\t(\w+)", text)
    )


def inner_loops(text):
    """Return the lines of every loop that is one block: run from its label to the branch back, and nothing else."""
    found, label, block = [], None, []
    for line in text.splitlines():
        if start := _LABEL.match(line):
            label, block = start[1], []
            continue
        block.append(line)
        if branch := _BRANCH.match(line):
            if branch[1] == label:
                found.append(block)
            label, block = None, []
    return found


def spills(loop):
    """Return the lines of a loop that put a vector on the stack, by the stack pointer, as spilled ones are."""
    return [line for line in loop if re.search(r"\tst\w+\t[qdv]\d.*\[sp\b", line)]


def reloads(loop):
    """Return the lines of a loop that take a vector from the stack: a spilled one, or a constant of many."""
    return [line for line in loop if re.search(r"\tld\w+\t[qdv]\d.*\[sp\b", line)]
