r"""Closes each COPY FROM STDIN that the server refuses with a line "\." in the files of a suite.

Usage: close_copies.py INPUT_DIR

Recent minor releases of psql read what follows a refused COPY as its data. Files of an earlier one
go on with commands there, which would all be swallowed; with the closing line they run again.
A COPY is refused where the expected output has an ERROR right behind it and soon shows the line
that comes next in the file: data is never echoed.
"""

import pathlib
import re
import sys

COPY = re.compile(r"^copy\b.*\bfrom\s+stdin\b.*;", re.I)
SOON = 15


def closed(commands, expected):
    """The lines of a test with the refused ones closed."""
    out, at = [], 0
    for number, line in enumerate(commands):
        out.append(line)
        if not COPY.match(line) or line not in expected[at:]:
            continue
        at = expected.index(line, at) + 1
        following = next((text for text in commands[number + 1:] if text.strip()), "")
        refused = at < len(expected) and expected[at].startswith("ERROR:")
        if refused and following != "\\." and following in expected[at:at + SOON]:
            out.append("\\.")
    return out


def main():
    root = pathlib.Path(sys.argv[1])
    for path in sorted((root / "sql").glob("*.sql")):
        answers = root / "expected" / (path.stem + ".out")
        if not answers.exists():
            continue
        text = path.read_bytes().decode("latin-1")
        commands = text.split("\n")
        changed = "\n".join(closed(commands, answers.read_bytes().decode("latin-1").split("\n")))
        if changed != text:
            path.write_bytes(changed.encode("latin-1"))


main()
