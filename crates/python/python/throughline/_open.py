"""The arguments of ``open``, for asyncio and for blocking callers."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, TypedDict, Union

from . import _throughline
from ._async.store import Store
from ._wire import dumps
from .errors import Invalid
from .layers import Layer
from .plugin import Call, Plugin, Reply

Url = Union[str, "os.PathLike[str]"]


class StoreOptions(TypedDict, total=False):
    """The options of a backend. Sizes are bytes, times are seconds. See the guides of SQLite and of Postgres."""

    readers: int
    """The connections that read."""
    writers: int
    """The connections that write (Postgres)."""
    queue_operations: int
    """The writes that may wait."""
    queue_bytes: int
    """The bytes of the writes that may wait."""
    wait_limit: float
    """The longest time that a call waits for its turn."""
    max_content_bytes: int
    """The longest content of a message."""
    changes_kept: int
    """The changes that the change feed keeps."""
    blobs_above: int
    """Contents that are longer are files next to the store (SQLite)."""
    free_space_floor: int
    """Writes that grow the store are refused while the disk has less free space (SQLite)."""
    wal_limit: int
    """The size of the WAL at which writes wait for a checkpoint (SQLite)."""
    indexed_metadata: list[str]
    """The metadata fields of messages that the store indexes, for ``Store.find``."""
    pgbouncer: bool
    """Whether the URL leads to a transaction pooler (Postgres)."""
    prepared_statements: bool
    """Whether each such pooler keeps prepared statements: PgBouncer 1.22 or newer (Postgres). Implies ``pgbouncer``."""
    listen_at: str
    """The URL of the server itself, behind a pooler: commits of other processes are noticed at once (Postgres)."""
    row_security: bool
    """Whether the server enforces the separation of tenants by row-level security (Postgres)."""


def arguments(
    url: Url,
    tenant: str | None,
    create: bool,
    search: bool,
    layers: Iterable[Layer | Plugin],
    deadline: float | None,
    options: StoreOptions | None,
) -> tuple[str, str, list[tuple[str, str, Callable[..., Any]]]]:
    """Returns the URL, the options as JSON, and the plugins."""
    stack: list[dict[str, Any]] = []
    plugins: list[tuple[str, str, Callable[..., Any]]] = []
    for layer in layers:
        if isinstance(layer, Layer):
            stack.append(layer._options())
        elif isinstance(layer, Plugin):
            if not layer.name:
                raise Invalid(f"{type(layer).__name__}: a plugin needs a name: set the class attribute `name`")
            plugins.append((layer.name, layer.phase, _hook(layer)))
        else:
            raise Invalid(f"layers: {layer!r} is neither a layer of throughline.layers nor a Plugin")
    every = {
        "tenant": tenant,
        "create": create,
        "search": search,
        "deadline": deadline,
        "layers": stack,
        "options": dict(options or {}),
    }
    return os.fspath(url), dumps(every), plugins


def _hook(plugin: Plugin) -> Callable[..., Any]:
    """Returns the coroutine function that the core calls for each call of the pipeline."""

    async def run(facts: tuple[Any, ...], next: Callable[[bytes], Any]) -> bytes:
        call = Call(*facts)

        async def rest(call: Call) -> Reply:
            return Reply(await next(call.args_json))

        reply = await plugin.around(call, rest)
        if not isinstance(reply, Reply):
            raise TypeError(f"{type(plugin).__name__}.around returned {type(reply).__name__}, and not the reply")
        return reply.json

    return run


class Opening:
    """A store that is being opened: ``await`` it, or use it in ``async with``, which closes the store."""

    __slots__ = ("_arguments", "_store")

    def __init__(self, arguments: tuple[str, str, list[tuple[str, str, Callable[..., Any]]]]) -> None:
        self._arguments = arguments
        self._store: Store | None = None

    async def _open(self) -> Store:
        engine = await _throughline.open(*self._arguments, False)
        return Store(engine)

    def __await__(self) -> Generator[Any, None, Store]:
        return self._open().__await__()

    async def __aenter__(self) -> Store:
        self._store = await self._open()
        return self._store

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            await self._store.close()

