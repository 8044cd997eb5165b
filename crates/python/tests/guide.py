"""The programs of the guide and of the README."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = ("docs/guide/python.md", "crates/python/README.md")


def programs() -> list[str]:
    """Returns each program, in the order of the pages."""
    text = "".join((ROOT / page).read_text() for page in PAGES)
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
