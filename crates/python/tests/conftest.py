"""The parts that the tests of the package share."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], limit: float = 60.0) -> T:
    """Runs a coroutine in an event loop of its own."""

    async def limited() -> T:
        return await asyncio.wait_for(main, limit)

    return asyncio.run(limited())


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The path of a SQLite store that does not exist."""
    return str(tmp_path / "chat.db")


@pytest.fixture(params=["sqlite", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new store, of each embedded backend."""
    return "memory:" if request.param == "memory" else str(tmp_path / "chat.db")


def python(program: str, *args: str, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(program), *args],
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
