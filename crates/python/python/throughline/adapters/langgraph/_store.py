"""The store: long-term memory that threads share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, cast

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchOp,
    TTLConfig,
    validate_op_namespace,
)

from ... import Gone, NotFound, ops
from ._calls import Steps, all_of, batch, one, run_async, run_blocking
from ._checkpoints import page_of, readable, summaries
from ._items import (
    StoredItem,
    is_under,
    matches,
    micros_now,
    namespace_of,
    prefix_labels,
    satisfies,
)
from ._names import items as thread_of
from ._put import Known, message_of, put
from ._stores import AnyStore, Opened, Stores
from ._sweeper import Sweeper, sweep
from ._vectors import VectorIndex, similarity

_PAGE = 200


class ThroughlineStore(BaseStore):
    """A LangGraph store over a Throughline store: SQLite, Postgres or memory.

    :param store: An open store of :func:`throughline.open` or :func:`throughline.sync.open`. Blocking methods and
        coroutines use the same store. It is not closed.
    :param index: How texts become vectors, for ``search(query=…)``. Vectors are 32-bit floats that are kept with the
        items. A search compares all items under its prefix, one by one; there is no approximate index.
    :param ttl: The times to live: see LangGraph's ``TTLConfig``. Expired items stay until :meth:`sweep_ttl`.

    ::

        with throughline.sync.open("chat.db") as store:
            memory = ThroughlineStore(store)
            memory.put(("users", "42"), "diet", {"likes": "pizza"})
            memory.search(("users",), filter={"likes": "pizza"})

    All writes of one ``batch`` are one commit, and its reads come before them. Values are JSON. A search without a
    query has the items that were added last first, and the namespaces in which something was written last.
    """

    supports_ttl = True

    def __init__(self, store: AnyStore, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None) -> None:
        self._stores = Stores(store)
        self._known = Known()
        self._vectors = VectorIndex(index) if index else None
        self._sweeper = Sweeper()
        self.ttl_config = ttl
        self.index_config = self._vectors.config if self._vectors else None
        self.embeddings = self._vectors.embeddings if self._vectors else None

    @classmethod
    def from_conn_string(
        cls,
        url: str | os.PathLike[str],
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        **options: Any,
    ) -> Opened[ThroughlineStore]:
        """Opens a store, in ``with`` or ``async with``: a path, ``"memory:"`` or the URL of a Postgres database.

        ``options`` are those of :func:`throughline.open`.
        """
        return Opened(lambda store: cls(store, index=index, ttl=ttl), url, options)

    def setup(self) -> None:
        """Does nothing: the store creates its tables when it is opened. The stores of LangGraph need this call."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations: first the reads, and then all writes in one commit."""
        return run_blocking(self._stores.blocking, self._batch(list(ops)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs operations: first the reads, and then all writes in one commit."""
        return await run_async(self._stores.asynchronous, self._batch(list(ops)))

    def sweep_ttl(self) -> int:
        """Deletes the expired items. Returns how many. It reads the namespaces that have items with a time to live."""
        return run_blocking(self._stores.blocking, sweep())

    async def asweep_ttl(self) -> int:
        """Deletes the expired items. Returns how many."""
        return await run_async(self._stores.asynchronous, sweep())

    def start_ttl_sweeper(self, sweep_interval_minutes: float | None = None) -> None:
        """Sweeps in a thread, every ``sweep_interval_minutes``; by default those of the ``TTLConfig``, or 5."""
        configured = (self.ttl_config or {}).get("sweep_interval_minutes")
        self._sweeper.start(self.sweep_ttl, 60 * (sweep_interval_minutes or configured or 5))

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Ends the thread of :meth:`start_ttl_sweeper`. Returns whether it has ended within ``timeout`` seconds."""
        return self._sweeper.stop(timeout)

    def _batch(self, ops: list[Op]) -> Steps[list[Result]]:
        for op in ops:
            if not isinstance(op, (GetOp, SearchOp, ListNamespacesOp, PutOp)):
                raise ValueError(f"unknown operation: {type(op).__name__}")
            validate_op_namespace(op)
        results: list[Result] = [None] * len(ops)
        touched: dict[str, StoredItem] = {}
        gets = [(i, op) for i, op in enumerate(ops) if isinstance(op, GetOp)]
        for (i, get), found in zip(gets, (yield from _read([(op.namespace, op.key) for _, op in gets])), strict=True):
            if found is not None and self._is_alive(found):
                results[i] = found.item()
                self._touch(found, get.refresh_ttl, touched)
        queries = yield from self._embedded([op for op in ops if isinstance(op, SearchOp)])
        for i, op in enumerate(ops):
            if isinstance(op, SearchOp):
                scored = yield from self._search(op, queries)
                results[i] = [each.search_item(score) for score, each in scored]
                for _, each in scored:
                    self._touch(each, op.refresh_ttl, touched)
            elif isinstance(op, ListNamespacesOp):
                results[i] = yield from self._list_namespaces(op)
        yield from _refresh(touched)
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, PutOp)}
        if puts:
            yield from put(self._known, self._vectors, list(puts.values()))
        return results

    def _is_alive(self, found: StoredItem) -> bool:
        omits = (self.ttl_config or {}).get("omit_expired", False)
        return not (omits and found.expires is not None and found.expires <= micros_now())

    @staticmethod
    def _touch(found: StoredItem, refresh: bool, touched: dict[str, StoredItem]) -> None:
        if refresh and found.ttl is not None:
            touched[f"{thread_of(found.namespace)}\0{found.id}"] = found

    def _embedded(self, searches: list[SearchOp]) -> Steps[dict[str, list[float]]]:
        if self._vectors is None:
            return {}
        vectors = self._vectors
        queries = list(dict.fromkeys(op.query for op in searches if op.query))
        embedded = yield from all_of([vectors.embed_query(query) for query in queries])
        return dict(zip(queries, embedded, strict=True))

    def _search(self, op: SearchOp, queries: Mapping[str, list[float]]) -> Steps[list[tuple[float | None, StoredItem]]]:
        query = queries.get(op.query) if op.query else None
        enough = op.offset + op.limit if query is None else None
        found: list[StoredItem] = []
        for summary in (yield from summaries(prefix_labels(op.namespace_prefix))):
            namespace = namespace_of(summary)
            if not summary.messages or not is_under(namespace, op.namespace_prefix):
                continue
            before = None
            while enough is None or len(found) < enough:
                page = yield from one(page_of(summary.thread, limit=_PAGE, before=before))
                for message in reversed(readable(page)):
                    each = StoredItem.of(namespace, message)
                    if self._is_alive(each) and (not op.filter or satisfies(each.value, op.filter)):
                        found.append(each)
                before = page.next
                if before is None:
                    break
        if query is None:
            return [(None, each) for each in found[op.offset : op.offset + op.limit]]
        scored = [(similarity(query, each.vectors), each) for each in found]
        # An item without a vector has no score, and comes after all others.
        scored.sort(key=lambda one: -2.0 if one[0] is None else one[0], reverse=True)
        return scored[op.offset : op.offset + op.limit]

    def _list_namespaces(self, op: ListNamespacesOp) -> Steps[list[tuple[str, ...]]]:
        conditions = op.match_conditions or ()
        prefix: tuple[str, ...] = ()
        for condition in conditions:
            if condition.match_type == "prefix" and len(condition.path) > len(prefix):
                prefix = cast("tuple[str, ...]", tuple(condition.path))
        # The labels select up to the first wildcard.
        exact = prefix[: prefix.index("*")] if "*" in prefix else prefix
        threads = yield from summaries(prefix_labels(exact))
        namespaces = [namespace_of(summary) for summary in threads if summary.messages]
        found = {
            namespace[: op.max_depth]
            for namespace in namespaces
            if all(matches(condition, namespace) for condition in conditions)
        }
        return sorted(found)[op.offset : op.offset + op.limit]


def _read(keys: list[tuple[tuple[str, ...], str]]) -> Steps[list[StoredItem | None]]:
    messages = yield from all_of([message_of(namespace, key) for namespace, key in keys])
    return [StoredItem.of(at[0], message) if message else None for at, message in zip(keys, messages, strict=True)]


def _refresh(touched: dict[str, StoredItem]) -> Steps[None]:
    """Renews the times to live of items that were read. An item that was deleted meanwhile stays deleted."""
    if not touched:
        return
    now = micros_now()
    updates = [
        ops.update(thread_of(each.namespace), each.id, each.refreshed(now).fields()) for each in touched.values()
    ]
    try:
        yield from one(batch(updates))
    except (NotFound, Gone):
        for update in updates:
            try:
                yield from one(batch([update]))
            except (NotFound, Gone):
                continue
