from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from .. import _calls as calls
from .. import models as m
from .. import ops
from .._throughline import Capability, Engine
from .._wire import Json, Operation
from ..errors import ForkedError
from ..ops import ThreadOrder, Visibility
from .agent import Agent
from .feed import Changes
from .thread import Thread

T = TypeVar("T")


class Store:
    """An open store, for one tenant. ``throughline.open`` opens it; ``async with`` closes it.

    Handles are cheap: those for other tenants, actors and threads share the open store.
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        return f"<Store of tenant {self._engine.tenant!r}>"

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except ForkedError:
            # The block ends in a child of the process that opened the store, which alone closes it.
            pass

    @property
    def tenant(self) -> str:
        """The tenant of this handle."""
        return self._engine.tenant

    def for_tenant(self, tenant: str) -> Store:
        """Returns a handle for another tenant. Its calls neither show nor change data of this one."""
        return Store(self._engine.for_tenant(tenant))

    def with_actor(self, actor: str) -> Store:
        """Returns a handle that acts on behalf of ``actor``, which layers and the audit log see."""
        return Store(self._engine.with_facts(actor=actor))

    def with_call_site(self, call_site: str) -> Store:
        """Returns a handle for one part of the host, such as ``"webhook"``."""
        return Store(self._engine.with_facts(call_site=call_site))

    def with_deadline(self, deadline: float) -> Store:
        """Returns a handle whose calls wait at most ``deadline`` seconds, unless they set their own."""
        return Store(self._engine.with_facts(deadline=deadline))

    def with_capability(self, capability: Capability) -> Store:
        """Returns a handle that may do what ``capability`` permits, in a store with the layer ``Scope``."""
        return Store(self._engine.with_facts(capability=capability))

    def everything(self) -> Capability:
        """Returns the capability for everything, of the layer ``Scope``. The host makes narrower ones from it."""
        return self._engine.everything()

    def revoke(self, capability: Capability) -> None:
        """Ends a capability, and every one that was made from it."""
        self._engine.revoke(capability)

    def thread(self, id: str) -> Thread:
        """Returns a handle to a thread, which need not exist."""
        return Thread(self._engine, id)

    def agent(self, id: str) -> Agent:
        """Returns a handle to an agent and the sessions of its provider."""
        return Agent(self._engine, id)

    async def threads(
        self,
        limit: int = 50,
        *,
        after: str | None = None,
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        archived: bool | None = False,
        order: ThreadOrder = "activity",
        unlisted: bool = False,
        deadline: float | None = None,
    ) -> m.ThreadList:
        """Lists threads (1 to 1000): the latest activity first, or with ``order="created"`` the oldest first, or with
        ``"created_desc"`` the newest first. ``unlisted`` includes threads that have no settled message yet.

        ``after`` is the ``next`` of the previous list. ``owner`` and ``labels`` select. ``archived`` selects archived
        threads, others (the default), or both (``None``).
        """
        read = ops.list_threads(
            limit, after=after, owner=owner, labels=labels, archived=archived, order=order, unlisted=unlisted
        )
        return await self._run(read, None, deadline)

    async def tenants(self, limit: int = 100, *, after: str | None = None) -> list[str]:
        """Lists the tenants of the store after ``after``. A list shorter than ``limit`` is the last one."""
        return await self._run(ops.list_tenants(limit, after=after))

    async def search(
        self, query: str, limit: int = 20, *, thread: str | None = None, deadline: float | None = None
    ) -> m.SearchHits:
        """Searches the messages of the tenant, or of one thread, for words. The store needs ``search=True``."""
        return await self._run(ops.search(query, limit, thread=thread), None, deadline)

    async def find(
        self,
        name: str,
        value: str | int | bool,
        limit: int = 50,
        *,
        order: Literal["newest", "oldest"] = "newest",
        visibility: Visibility = "final",
        after: str | None = None,
        max_bytes: int | None = None,
        deadline: float | None = None,
    ) -> m.Found:
        """Finds the messages of the tenant with this value of a metadata field, by their time of creation.

        The store must index the field: ``open(..., options={"indexed_metadata": [name]})``. ``after`` is the ``next`` of
        the previous answer. An answer ends before the message that would exceed ``max_bytes``, 8 MiB unless it is set.
        """
        read = ops.find(name, value, limit, order=order, visibility=visibility, after=after, max_bytes=max_bytes)
        return await self._run(read, None, deadline)

    def changes(self, after: int = 0, *, scope: Literal["tenant", "store"] = "tenant", wait: bool = True) -> Changes:
        """Iterates over the changes after a position, such as that of a page, and then over future ones::

            async for change in store.changes(after=page.position):
                print(change.kind, change.thread, change.message)

        With ``wait=False`` the iteration ends at the present end. ``scope="store"`` includes every tenant.
        """
        return Changes(self._engine.changes(scope, None, after), wait)

    async def batch(
        self,
        operations: Iterable[Operation[Any]],
        *,
        after: int | None = None,
        key: str | None = None,
        deadline: float | None = None,
    ) -> m.Batched:
        """Applies several writes of ``throughline.ops`` in one commit, or none of them.

        ``after`` requires that this is still the last sequence number of the thread of the first one. If one of them
        fails, ``batch_index`` of the exception is its index.
        """
        return await self._run(ops.batch(operations, after=after), key, deadline)

    @overload
    async def run(self, args: Operation[T], *, key: str | None = None, deadline: float | None = None) -> T: ...
    @overload
    async def run(self, args: Json, *, key: str | None = None, deadline: float | None = None) -> bytes: ...
    async def run(
        self, args: Operation[T] | Json, *, key: str | None = None, deadline: float | None = None
    ) -> T | bytes:
        """Runs any operation: one of ``throughline.ops``, or the arguments as JSON in the wire format of the core, whose
        answer is JSON too::

            answer = await store.run(b'{"read":{"thread":{"thread":"telegram:42"}}}')
        """
        if isinstance(args, Operation):
            return await self._run(args, key, deadline)
        answer: bytes = await self._engine.run(args, key, deadline)
        return answer

    async def _run(self, operation: Operation[T], key: str | None = None, deadline: float | None = None) -> T:
        return operation.decode(await self._engine.run(operation.json, key, deadline))

    async def recover_expired_drafts(self, reason: str = "the lease expired") -> m.RecoveredDrafts:
        """Abandons the open messages of writers that died: those whose lease has expired."""
        return calls.recovered(await self._engine.recover_expired_drafts(reason))

    async def purge(self) -> list[tuple[str, str]]:
        """Frees the space of removed messages in every thread of the tenant. Returns the threads and keys of their
        attachments.
        """
        return calls.purged(await self._engine.purge(None))

    async def backup(self, path: str | os.PathLike[str]) -> m.Backup:
        """Copies the store into a new file while it is in use (SQLite)."""
        return calls.backup(await self._engine.backup(os.fspath(path)))

    async def verify(self) -> m.Verification:
        """Checks everything in the store while it is in use (SQLite)."""
        return calls.verification(await self._engine.verify())

    async def compact(self) -> int:
        """Gives the free pages of the file back to the disk (SQLite). Returns the bytes that it freed."""
        freed: int = await self._engine.compact()
        return freed

    def health(self) -> m.Health:
        """Returns whether the store accepts writes, and its alarms."""
        return calls.health(self._engine.health())

    def metrics(self) -> dict[str, Any]:
        """Returns the counters, gauges and histograms of the layer ``Metrics``."""
        return calls.metrics(self._engine.metrics())

    def describe(self) -> str:
        """Returns the layers in their order and the backend, for people."""
        return self._engine.describe()

    async def close(self, timeout: float | None = None) -> None:
        """Completes the calls in flight and releases the store, which other handles to the same store may still use.

        ``timeout`` limits the wait, in seconds. Raises ``TimedOut`` then, and closing continues.
        """
        await self._engine.close(timeout)
