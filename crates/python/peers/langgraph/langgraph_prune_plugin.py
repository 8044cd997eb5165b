"""The pytest plugin for the tests of LangGraph's Postgres savers about pruning: it replaces the functions that make the
savers.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module

import peer_suite
import pytest
from throughline import sync
from throughline.adapters.langgraph import ThroughlineSaver

# The tests skip themselves without Docker, which starts their Postgres. Ours needs none.
os.environ["NO_DOCKER"] = "false"


@contextmanager
def _saver() -> Iterator[ThroughlineSaver]:
    peer_suite.used()
    tenant = peer_suite.unique("tenant")
    with sync.open(peer_suite.location(tenant), tenant=tenant) as store:
        yield ThroughlineSaver(store)


@asynccontextmanager
async def _async_saver() -> AsyncIterator[ThroughlineSaver]:
    with _saver() as saver:
        yield saver


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    makers = import_module("tests.conftest_checkpointer")
    for name in ("_checkpointer_postgres", "_checkpointer_postgres_pipe", "_checkpointer_postgres_pool"):
        setattr(makers, name, _saver)
    for name in ("_checkpointer_postgres_aio", "_checkpointer_postgres_aio_pipe", "_checkpointer_postgres_aio_pool"):
        setattr(makers, name, _async_saver)
