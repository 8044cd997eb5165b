"""The pytest plugin that replaces LangGraph's SQLite savers by the saver of this package, and its store in memory by the store."""

from __future__ import annotations

from typing import Any

import langgraph.checkpoint.sqlite
import langgraph.checkpoint.sqlite.aio
import peer_suite
from throughline.adapters.langgraph import ThroughlineSaver


class Saver(ThroughlineSaver):
    """The saver, over a new store in place of each database in memory."""

    @classmethod
    def from_conn_string(cls, url: Any, **options: Any) -> Any:
        peer_suite.used()
        return super().from_conn_string(
            peer_suite.location(peer_suite.unique("saver")), tenant=peer_suite.unique("tenant"), **options
        )


langgraph.checkpoint.sqlite.SqliteSaver = Saver
langgraph.checkpoint.sqlite.aio.AsyncSqliteSaver = Saver
