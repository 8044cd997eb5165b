"""Generates ``_sync`` from ``_async``: ``python -m throughline._unasync [--check]``, in a source checkout."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_HEADER = "# Generated from ../_async/{name} by `python -m throughline._unasync`. Change that file instead.\n"

_RULES = [
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"from \.\._settle import shielded", "from .._settle import settled"),
    (r"\bshielded\(", "settled("),
    (r"`throughline\.open`", "`throughline.sync.open`"),
    (r"raises, or its task is cancelled, the", "raises, the"),
    (r"raises or is\n(\s+)cancelled, abandoned", r"raises,\n\1abandoned"),
    (r"Cancelling a task, or passing the\n(\s+)deadline, does", r"Passing the\n\1deadline does"),
]


def generate(text: str, name: str) -> str:
    """Returns the blocking form of a module."""
    for pattern, replacement in _RULES:
        text = re.sub(pattern, replacement, text)
    return _HEADER.format(name=name) + text


def main() -> int:
    """Writes the files, or with ``--check`` returns 1 if one of them is not current."""
    here = Path(__file__).parent
    stale = []
    for source in sorted((here / "_async").glob("*.py")):
        if source.name == "__init__.py":
            continue
        target, text = here / "_sync" / source.name, generate(source.read_text(), source.name)
        if not target.exists() or target.read_text() != text:
            stale.append(target)
            if "--check" not in sys.argv:
                target.write_text(text)
    if "--check" in sys.argv and stale:
        names = ", ".join(str(target) for target in stale)
        print(f"not current: {names}; run `python -m throughline._unasync`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
