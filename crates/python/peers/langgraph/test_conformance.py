"""The cases of LangGraph's conformance kit for savers, which the kit itself runs, one by one."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator

import peer_suite
import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability
from langgraph.checkpoint.conformance.report import ProgressCallbacks
from throughline.adapters.langgraph import ThroughlineSaver

Results = dict[tuple[str, str], str | None]


def cases(capability: str) -> list[tuple[str, str]]:
    spec = importlib.import_module(f"langgraph.checkpoint.conformance.spec.test_{capability}")
    return [(capability, test.__name__) for test in getattr(spec, f"ALL_{capability.upper()}_TESTS")]


@checkpointer_test(name="ThroughlineSaver")
async def saver() -> AsyncIterator[ThroughlineSaver]:
    tenant = peer_suite.unique("tenant")
    async with ThroughlineSaver.from_conn_string(peer_suite.location(tenant), tenant=tenant) as opened:
        yield opened


@pytest.fixture(scope="session")
def results() -> Results:
    """Runs the kit, and returns the error of each case, ``None`` if it passed."""
    found: Results = {}

    def record(capability: str, name: str, passed: bool, error: str | None) -> None:
        found[capability, name] = None if passed else error or "failed"

    asyncio.run(validate(saver, progress=ProgressCallbacks(on_test_result=record)))
    return found


@pytest.mark.parametrize(("capability", "name"), [case for each in Capability for case in cases(each.value)])
def test_conformance(results: Results, capability: str, name: str) -> None:
    peer_suite.used()
    assert results[capability, name] is None
