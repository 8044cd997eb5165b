"""The pytest plugin that replaces LangGraph's saver in memory by the saver of this package."""

from __future__ import annotations

from typing import Any

import langgraph.checkpoint.memory
import peer_suite
from throughline import sync
from throughline.adapters.langgraph import ThroughlineSaver


class MemorySaver(ThroughlineSaver):
    """The saver in place of LangGraph's saver in memory, which its constructor opens."""

    def __init__(self, **options: Any) -> None:
        peer_suite.used()
        tenant = peer_suite.unique("tenant")
        super().__init__(sync.open(peer_suite.location(tenant), tenant=tenant), **options)

    def __enter__(self) -> MemorySaver:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    async def __aenter__(self) -> MemorySaver:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass


langgraph.checkpoint.memory.InMemorySaver = MemorySaver
langgraph.checkpoint.memory.MemorySaver = MemorySaver
