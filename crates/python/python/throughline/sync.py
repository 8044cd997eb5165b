"""The classes of ``throughline`` for blocking callers, with the same names, arguments, answers and exceptions::

    from throughline import sync

    with sync.open("chat.db") as store:
        thread = store.thread("telegram:42")
        thread.add("user", "hello")
        print(thread.page(20).messages[-1].text)

Each call releases the GIL while it waits. Any thread may use any handle.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import _throughline
from ._open import StoreOptions, Url, arguments
from ._sync.agent import Agent, AgentThread
from ._sync.draft import Draft
from ._sync.feed import Changes
from ._sync.store import Store
from ._sync.thread import Thread
from .layers import Layer
from .plugin import Plugin


def open(
    url: Url,
    *,
    tenant: str | None = None,
    create: bool = True,
    search: bool = False,
    layers: Iterable[Layer | Plugin] = (),
    deadline: float | None = None,
    options: StoreOptions | None = None,
) -> Store:
    """Opens a store, also for ``with``: see ``throughline.open``."""
    return Store(_throughline.open(*arguments(url, tenant, create, search, layers, deadline, options), True))


__all__ = ["Agent", "AgentThread", "Changes", "Draft", "Store", "Thread", "open"]
