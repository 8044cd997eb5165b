"""The pytest plugin that replaces LangGraph's SQLite savers by the saver of this package."""

from __future__ import annotations

import os
from typing import Any

import langgraph.checkpoint.sqlite
import langgraph.checkpoint.sqlite.aio
import peer_suite
from throughline.adapters.langgraph import ThroughlineSaver

# LangGraph's tests need no Docker: its Postgres savers and its Redis cache are not what these suites run.
os.environ["NO_DOCKER"] = "true"


class Saver(ThroughlineSaver):
    """The saver, over a new store in place of each database."""

    @classmethod
    def from_conn_string(cls, url: Any, **options: Any) -> Any:
        peer_suite.used()
        location = peer_suite.location(peer_suite.unique("saver"))
        return super().from_conn_string(location, tenant=peer_suite.unique("tenant"), **options)


langgraph.checkpoint.sqlite.SqliteSaver = Saver
langgraph.checkpoint.sqlite.aio.AsyncSqliteSaver = Saver
