"""A checkpoint saver and a store for LangGraph, over one Throughline store.

::

    import throughline.sync
    from throughline.adapters.langgraph import ThroughlineSaver, ThroughlineStore

    with throughline.sync.open("chat.db") as store:
        graph = builder.compile(checkpointer=ThroughlineSaver(store), store=ThroughlineStore(store))
        graph.invoke(state, {"configurable": {"thread_id": "telegram:42"}})

| LangGraph | Throughline |
|---|---|
| a ``thread_id`` with a ``checkpoint_ns`` | a thread: ``langgraph:telegram:42`` |
| a checkpoint | a message of it, with the same id |
| the pending writes of a checkpoint | a thread of their own, archived: one message for each call of a task |
| a namespace of the store | a thread: ``langgraph.store:users/42`` |
| an item | a message of it, whose id is the key |

``docs/guide/python-langgraph.md`` has the whole mapping. The module needs the package ``langgraph-checkpoint``.
"""

from __future__ import annotations

try:
    import langgraph.checkpoint.base  # noqa: F401
except ImportError as error:  # pragma: no cover - only without the peer
    raise ImportError("throughline.adapters.langgraph needs LangGraph: pip install langgraph") from error

from ._import import import_sqlite_saver
from ._saver import ThroughlineSaver
from ._store import ThroughlineStore

__all__ = ["ThroughlineSaver", "ThroughlineStore", "import_sqlite_saver"]
