"""The types: mypy accepts the package, its stubs and the programs of the guide."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import guide
import pytest

pytest.importorskip("mypy")


def mypy(*args: str, cwd: Path | None = None) -> None:
    done = subprocess.run([sys.executable, "-m", *args], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stubs_describe_the_compiled_module() -> None:
    mypy("mypy.stubtest", "throughline._throughline")


def test_the_package_is_strict() -> None:
    # The adapters need their peers.
    modules = ("throughline", "throughline.sync", "throughline._unasync")
    mypy("mypy", "--strict", *(arg for module in modules for arg in ("-m", module)))


def test_a_program_of_the_guide_is_strict(tmp_path: Path) -> None:
    for number, program in enumerate(guide.programs()):
        file = tmp_path / f"program_{number}.py"
        file.write_text(program)
        mypy("mypy", "--strict", str(file))


def test_blocking_classes_are_generated() -> None:
    done = subprocess.run([sys.executable, "-m", "throughline._unasync", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
