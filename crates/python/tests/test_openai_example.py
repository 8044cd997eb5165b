"""The example of the OpenAI Agents SDK runs: an agent whose process is killed continues in another one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("agents")

EXAMPLE = Path(__file__).parent.parent / "examples" / "openai_agents_session.py"


def test_the_example_continues_after_a_kill(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-B", str(EXAMPLE), str(tmp_path / "agent.db")], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[:3] == [
        "08:15 (question 1: train 1?)",
        "08:15 (question 2: train 2?)",
        "the process has ended with signal 9",
    ]
    assert "08:15 (question 4: train 4?)" in lines
