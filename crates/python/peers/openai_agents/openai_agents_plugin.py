"""Replaces the sessions of the OpenAI Agents SDK by those of this package, for the tests of the SDK.

Each class here has the name and the arguments of the one that it replaces, and ignores the arguments that choose a client or a table.
"""

from __future__ import annotations

import asyncio
import importlib
import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import agents
import agents.extensions.memory
import agents.memory
import peer_suite
import pytest
import throughline
from throughline.adapters.openai_agents import BranchingSession, ThroughlineSession

# A test that starts processes imports the classes there again: the server that they are forked from has replaced them too.
multiprocessing.set_forkserver_preload(["openai_agents_plugin"])

# The stores in memory of the running case by their label, and its other stores that are open.
_shared: dict[str, throughline.Store] = {}
_stores: list[throughline.Store] = []


async def _opened(label: str) -> throughline.Store:
    """Returns the store for a label: a path of a test, or a name."""
    if peer_suite.backend() == "memory":
        if label not in _shared:
            opened = await throughline.open(peer_suite.location())
            if _shared.setdefault(label, opened) is not opened:
                await opened.close()  # Another task has opened the store of this label meanwhile.
        return _shared[label]
    if peer_suite.backend() == "postgres":
        store = await throughline.open(peer_suite.location(), tenant=_tenant(label))
    else:
        store = await throughline.open(label if os.sep in label else peer_suite.location(label))
    _stores.append(store)
    return store


def _tenant(label: str) -> str:
    """Returns the tenant of a label: the end of a long path, which differs from test to test."""
    return label[-200:]


class _Replacement:
    """A session that opens the store of a label with its first call."""

    _store: Any
    _closed: bool
    # A session that was made with a client of the caller is not closed.
    _can_close = True

    async def _open(self) -> throughline.Store:
        self._check_open()  # type: ignore[attr-defined]
        if self._store is None:
            peer_suite.used()
            self._store = await _opened(self._location)  # type: ignore[attr-defined]
        store: throughline.Store = self._store
        return store

    def _release(self) -> Any:
        if not self._can_close:
            return None
        self._closed = True
        store, self._store = self._store, None
        # A store in memory has what other sessions of the case read.
        if store is None or store not in _stores:
            return None
        _stores.remove(store)
        return store.close()


def _run(closing: Any) -> None:
    """Runs a coroutine in a thread: the caller may be in an event loop, which cannot run another one."""
    thread = threading.Thread(target=lambda: asyncio.run(closing))
    thread.start()
    thread.join()


class _Blocking(_Replacement):
    """One whose ``close`` is a plain function."""

    def close(self) -> None:
        closing = self._release()
        if closing is not None:
            _run(closing)


class _Awaited(_Replacement):
    """One whose ``close`` is awaited."""

    async def close(self) -> None:
        closing = self._release()
        if closing is not None:
            await closing


def _label(path: object) -> str:
    return peer_suite.unique("memory") if str(path) == ":memory:" else os.path.abspath(str(path))


class SQLiteSession(_Blocking, ThroughlineSession):
    def __init__(
        self,
        session_id: str,
        db_path: str | Path = ":memory:",
        sessions_table: str = "agent_sessions",
        messages_table: str = "agent_messages",
        session_settings: Any = None,
    ) -> None:
        super().__init__(session_id, _label(db_path), session_settings=session_settings)
        self.db_path = db_path


class AsyncSQLiteSession(_Awaited, ThroughlineSession):
    def __init__(
        self,
        session_id: str,
        db_path: str | Path = ":memory:",
        sessions_table: str = "agent_sessions",
        messages_table: str = "agent_messages",
        session_settings: Any = None,
    ) -> None:
        super().__init__(session_id, _label(db_path), session_settings=session_settings)
        self.db_path = db_path


class AdvancedSQLiteSession(_Blocking, BranchingSession):
    def __init__(
        self,
        *,
        session_id: str,
        db_path: str | Path = ":memory:",
        create_tables: bool = False,
        logger: Any = None,
        session_settings: Any = None,
        **tables: str,
    ) -> None:
        super().__init__(session_id, _label(db_path), session_settings=session_settings, logger=logger)
        self.db_path = db_path

    # The public name of this package for a private one of the SDK, by which its tests ask for the current branch.
    @property
    def _current_branch_id(self) -> str:
        return self.current_branch


class SQLAlchemySession(_Awaited, ThroughlineSession):
    def __init__(self, session_id: str, *, engine: Any, session_settings: Any = None, **tables: Any) -> None:
        super().__init__(session_id, _database(engine), session_settings=session_settings)
        self._engine = engine

    @property
    def engine(self) -> Any:
        return self._engine

    @classmethod
    def from_url(cls, session_id: str, *, url: str, session_settings: Any = None, **options: Any) -> Any:
        from sqlalchemy.ext.asyncio import create_async_engine

        return cls(session_id, engine=create_async_engine(url), session_settings=session_settings)


def _database(engine: Any) -> str:
    """Returns the label of the database of an engine: its file, or one for each engine in memory."""
    path = engine.url.database or ":memory:"
    return f"sqlalchemy-{os.getpid()}-{_number(engine)}" if path == ":memory:" else _label(path)


class RedisSession(_Awaited, ThroughlineSession):
    """The prefix of the keys is part of the label: other prefixes are other stores."""

    def __init__(
        self,
        session_id: str,
        *,
        redis_client: Any,
        key_prefix: str = "agents:session",
        ttl: int | None = None,
        session_settings: Any = None,
    ) -> None:
        label = f"redis-{os.getpid()}-{key_prefix}".replace(":", "-")
        super().__init__(session_id, label, session_settings=session_settings)
        self._can_close = redis_client is None

    @classmethod
    def from_url(cls, session_id: str, *, url: str, session_settings: Any = None, **options: Any) -> Any:
        options = {name: options[name] for name in ("key_prefix", "ttl") if name in options}
        return cls(session_id, redis_client=None, session_settings=session_settings, **options)


class MongoDBSession(_Awaited, ThroughlineSession):
    """A client is a database of its own."""

    def __init__(self, session_id: str, *, client: Any, session_settings: Any = None, **names: Any) -> None:
        super().__init__(session_id, f"mongodb-{os.getpid()}-{_number(client)}", session_settings=session_settings)
        self._can_close = False

    @classmethod
    def from_uri(cls, session_id: str, *, uri: str, session_settings: Any = None, **options: Any) -> Any:
        session = cls(session_id, client=object(), session_settings=session_settings)
        session._can_close = True
        return session

    # The tests empty it before each session.
    _init_state: ClassVar[dict[Any, Any]] = {}


class DaprSession(_Awaited, ThroughlineSession):
    """A client is a database of its own."""

    def __init__(
        self, session_id: str, *, state_store_name: str, dapr_client: Any, session_settings: Any = None, **options: Any
    ) -> None:
        super().__init__(session_id, f"dapr-{os.getpid()}-{_number(dapr_client)}", session_settings=session_settings)
        self._can_close = False

    @classmethod
    def from_address(cls, session_id: str, *, session_settings: Any = None, **options: Any) -> Any:
        session = cls(session_id, state_store_name="", dapr_client=object(), session_settings=session_settings)
        session._can_close = True
        return session

    async def __aenter__(self) -> DaprSession:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


_clients: list[Any] = []


def _number(client: Any) -> int:
    """Returns the number of a client. The list keeps it alive, so that no other one is taken for it."""
    for number, known in enumerate(_clients):
        if known is client:
            return number
    _clients.append(client)
    return len(_clients) - 1


_REPLACED = {
    SQLiteSession: ("agents.memory.sqlite_session", (agents, agents.memory)),
    AsyncSQLiteSession: ("agents.extensions.memory.async_sqlite_session", (agents.extensions.memory,)),
    AdvancedSQLiteSession: ("agents.extensions.memory.advanced_sqlite_session", (agents.extensions.memory,)),
    SQLAlchemySession: ("agents.extensions.memory.sqlalchemy_session", (agents.extensions.memory,)),
    RedisSession: ("agents.extensions.memory.redis_session", (agents.extensions.memory,)),
    MongoDBSession: ("agents.extensions.memory.mongodb_session", (agents.extensions.memory,)),
    DaprSession: ("agents.extensions.memory.dapr_session", (agents.extensions.memory,)),
}


def _replace() -> None:
    # These ask whether a session is the class of the SDK, and use private methods of it then.
    importlib.import_module("agents.extensions.memory.encrypt_session")
    importlib.import_module("agents.memory.openai_responses_compaction_session")
    for replacement, (module, packages) in _REPLACED.items():
        for owner in (importlib.import_module(module), *packages):
            setattr(owner, replacement.__name__, replacement)


_replace()


@pytest.fixture(autouse=True)
def stores_of_the_case() -> Iterator[None]:
    """Closes what the case has left open."""
    yield
    _shared.clear()
    while _stores:
        _run(_stores.pop().close())
