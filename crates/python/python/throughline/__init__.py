"""Throughline: durable conversations for AI agents, over SQLite, Postgres or memory.

::

    import asyncio
    import throughline

    async def main() -> None:
        async with throughline.open("chat.db") as store:
            thread = store.thread("telegram:42")
            await thread.add("user", "hello", key="update-1007")       # durable when it returns; the key makes it idempotent
            async with thread.draft() as draft:                        # has its id from the first byte on
                await draft.append("Hel")
                await draft.append("lo!")
            page = await thread.page(20)
            print([(message.role, message.text) for message in page.messages])

    asyncio.run(main())

``throughline.sync`` has the same classes for blocking callers.
"""

from __future__ import annotations

import atexit as _atexit
import os as _os
from collections.abc import Iterable as _Iterable

from ._free_threading import refuse as _refuse

_refuse()

from . import _plugin_loop, _throughline, errors, layers, ops
from ._async.agent import Agent, AgentThread
from ._async.draft import Draft
from ._async.feed import Changes
from ._async.store import Store
from ._async.thread import Thread
from ._open import Opening, StoreOptions, Url
from ._open import arguments as _arguments
from ._throughline import Added, Capability, Damaged, Message, Page, __version__
from ._wire import UNSET, Content, Operation
from .errors import (
    AlreadyExists,
    Busy,
    Cancelled,
    Conflict,
    ContractViolation,
    Corrupt,
    Denied,
    ForkedError,
    Gone,
    Internal,
    Invalid,
    NotFound,
    NotPrimary,
    Overloaded,
    Panicked,
    Stale,
    StorageFull,
    ThroughlineError,
    TimedOut,
    TooLarge,
    TooOld,
    Unavailable,
    Unsupported,
)
from .models import (
    Attempt,
    Backup,
    Batched,
    Change,
    ContentUpdated,
    Deleted,
    Forked,
    ForkPoint,
    Found,
    Health,
    Pruned,
    RecoveredDrafts,
    Renewed,
    Resolution,
    Role,
    Run,
    Runtime,
    SearchHit,
    SearchHits,
    SessionChanged,
    State,
    Taken,
    ThreadChanged,
    ThreadDeleted,
    ThreadList,
    ThreadSummary,
    Updated,
    Verification,
    Watermark,
)
from .plugin import Call, Next, Plugin, Reply


def open(
    url: Url,
    *,
    tenant: str | None = None,
    create: bool = True,
    search: bool = False,
    layers: _Iterable[layers.Layer | Plugin] = (),
    deadline: float | None = None,
    options: StoreOptions | None = None,
) -> Opening:
    """Opens a store, for ``await`` or ``async with``.

    ``url`` is the path of a SQLite file (also ``sqlite:PATH``), ``memory:``, or the URL of a Postgres database. A second
    open of the same path in this process shares the open store; with other options it raises ``Conflict``.

    ``tenant`` is the tenant of the handle. With ``create=False`` a missing file raises ``NotFound``. ``search`` keeps a
    full-text index. ``layers`` are those of ``throughline.layers`` and plugins. ``deadline`` limits the time that each
    call waits, in seconds, unless the call sets its own.
    """
    return Opening(_arguments(url, tenant, create, search, layers, deadline, options))


_os.register_at_fork(
    before=_throughline.before_fork,
    after_in_parent=_throughline.after_fork_in_parent,
    after_in_child=_throughline.after_fork_in_child,
)
_os.register_at_fork(after_in_child=_plugin_loop.forget)
_atexit.register(_throughline.at_exit)

__all__ = [
    "UNSET",
    "Added",
    "Agent",
    "AgentThread",
    "AlreadyExists",
    "Attempt",
    "Backup",
    "Batched",
    "Busy",
    "Call",
    "Cancelled",
    "Capability",
    "Change",
    "Changes",
    "Conflict",
    "Content",
    "ContentUpdated",
    "ContractViolation",
    "Corrupt",
    "Damaged",
    "Deleted",
    "Denied",
    "Draft",
    "ForkPoint",
    "Forked",
    "ForkedError",
    "Found",
    "Gone",
    "Health",
    "Internal",
    "Invalid",
    "Message",
    "Next",
    "NotFound",
    "NotPrimary",
    "Opening",
    "Operation",
    "Overloaded",
    "Page",
    "Panicked",
    "Plugin",
    "Pruned",
    "RecoveredDrafts",
    "Renewed",
    "Reply",
    "Resolution",
    "Role",
    "Run",
    "Runtime",
    "SearchHit",
    "SearchHits",
    "SessionChanged",
    "Stale",
    "State",
    "StorageFull",
    "Store",
    "StoreOptions",
    "Taken",
    "Thread",
    "ThreadChanged",
    "ThreadDeleted",
    "ThreadList",
    "ThreadSummary",
    "ThroughlineError",
    "TimedOut",
    "TooLarge",
    "TooOld",
    "Unavailable",
    "Unsupported",
    "Updated",
    "Verification",
    "Watermark",
    "__version__",
    "errors",
    "layers",
    "open",
    "ops",
]
