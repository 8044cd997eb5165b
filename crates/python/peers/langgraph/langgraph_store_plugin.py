"""The pytest plugin that replaces LangGraph's stores, in memory and in SQLite, by the store of this package."""

from __future__ import annotations

from typing import Any

import langgraph.store.memory
import langgraph.store.sqlite
import langgraph.store.sqlite.aio
import peer_suite
import pytest
from throughline import sync
from throughline.adapters.langgraph import ThroughlineStore

#: The location of the store for each connection string, so that two connections to one file share a store.
_opened: dict[str, tuple[str, str]] = {}


class MemoryStore(ThroughlineStore):
    """The store in place of LangGraph's store in memory, which its constructor opens."""

    def __init__(self, *, index: Any = None) -> None:
        peer_suite.used()
        tenant = peer_suite.unique("tenant")
        super().__init__(sync.open(peer_suite.location(tenant), tenant=tenant), index=index)


class SqliteStore(ThroughlineStore):
    """The store in place of LangGraph's store in SQLite, with the name that it gives to the fields to embed."""

    @classmethod
    def from_conn_string(cls, url: str, *, index: Any = None, **options: Any) -> Any:
        peer_suite.used()
        tenant = peer_suite.unique("tenant")
        if url != ":memory:":
            tenant = _opened.setdefault(url, (tenant, tenant))[0]
        if index is not None:
            index = {**index, "fields": index.get("text_fields")}
        return super().from_conn_string(peer_suite.location(tenant), index=index, tenant=tenant, **options)


class AsyncSqliteStore(SqliteStore):
    """The store with coroutines in place of the blocking methods, as LangGraph's asynchronous store has them."""

    async def setup(self) -> None:  # type: ignore[override]
        super().setup()

    async def sweep_ttl(self) -> int:  # type: ignore[override]
        return await self.asweep_ttl()

    async def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> None:  # type: ignore[override]
        configured = (self.ttl_config or {}).get("sweep_interval_minutes")
        self._sweeper.start(super().sweep_ttl, 60 * (sweep_interval_minutes or configured or 5))

    async def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        return super().stop_ttl_sweeper(timeout)


def pytest_configure(config: pytest.Config) -> None:
    # The plugin that runs such a case again is not installed: none of them needs it.
    config.addinivalue_line("markers", "flaky(retries): a case that LangGraph repeats")


langgraph.store.memory.InMemoryStore = MemoryStore
langgraph.store.sqlite.SqliteStore = SqliteStore
langgraph.store.sqlite.AsyncSqliteStore = AsyncSqliteStore
langgraph.store.sqlite.aio.AsyncSqliteStore = AsyncSqliteStore
