"""The programs of the guide run where only the wheel is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import guide
import pytest

PROGRAMS = guide.programs()


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter whose environment has the wheel that `THROUGHLINE_WHEEL` names, and nothing else. Without the variable, this one."""
    wheel = os.environ.get("THROUGHLINE_WHEEL")
    if wheel is None:
        return sys.executable
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    python = str(folder / "bin" / "python")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", wheel]
    subprocess.run(install, check=True, timeout=120)
    return python


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_a_program_of_the_guide_runs(number: int, interpreter: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [interpreter, "-B", "-c", PROGRAMS[number]], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    if number == 0:
        assert done.stdout == "1 user Where to?\n2 assistant To the sea.\n"
