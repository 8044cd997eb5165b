"""The stores that ``peers.py`` compares: each writes items of one conversation for each task, and reads the last 50 of one.

All of them are SQLite files in WAL mode with ``synchronous = FULL``, so that a write that has returned survives a loss of power.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: How many items a read returns.
LAST = 50
#: The conversation that is read.
LONG = "long"

_TEXT = (
    "The train to Lisbon leaves at a quarter past nine from the platform behind the old station, and arrives at noon. "
)


def item(number: int) -> dict[str, Any]:
    """Returns one item of a conversation, of about 250 bytes."""
    role = "user" if number % 2 == 0 else "assistant"
    return {"role": role, "content": f"{number}: {_TEXT}{_TEXT}"}


class Contender(ABC):
    """A store, opened on a file. ``name`` is its name in the figures."""

    name: str
    packages: tuple[str, ...]
    call: str

    def __init__(self, file: Path) -> None:
        self.file = file
        #: The pragmas of the connections of the store: the mode of the journal and `PRAGMA synchronous`.
        self.durability = ""

    @classmethod
    def version(cls) -> str:
        return ", ".join(f"{package} {version(package)}" for package in cls.packages)

    @abstractmethod
    async def open(self) -> None:
        """Opens the file, and sets the durability."""

    @abstractmethod
    async def close(self) -> None:
        """Closes it."""

    @abstractmethod
    async def add(self, task: int, number: int) -> None:
        """Writes one item into the conversation of this task."""

    @abstractmethod
    async def fill(self, items: int) -> None:
        """Writes the conversation that is read, in as few transactions as the store allows."""

    @abstractmethod
    async def last(self) -> int:
        """Reads the last items of the long conversation, and returns how many."""

    def _read_back(self, connection: sqlite3.Connection) -> None:
        journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
        level = connection.execute("PRAGMA synchronous").fetchone()[0]
        self.durability = f"journal_mode = {journal}, synchronous = {level}"
        if (journal, level) != ("wal", 2):
            raise SystemExit(f"{self.name} is not durable as the others are: {self.durability}")


class AgentsSqlite(Contender):
    """OpenAI Agents: a ``SQLiteSession`` for each task, on one file."""

    name = "agents_sqlite"
    packages = ("openai-agents",)
    call = "SQLiteSession.add_items, get_items"

    async def open(self) -> None:
        from agents import SQLiteSession

        contender = self

        class Session(SQLiteSession):
            @staticmethod
            def _configure_connection(connection: sqlite3.Connection) -> None:
                SQLiteSession._configure_connection(connection)
                connection.execute("PRAGMA synchronous = FULL")
                contender._read_back(connection)

        self._new = lambda name: Session(name, self.file)
        self._sessions: dict[str, Any] = {}
        self._session(LONG)

    def _session(self, name: str) -> Any:
        if name not in self._sessions:
            self._sessions[name] = self._new(name)
        return self._sessions[name]

    async def close(self) -> None:
        for session in self._sessions.values():
            session.close()

    async def add(self, task: int, number: int) -> None:
        await self._session(f"task-{task}").add_items([item(number)])

    async def fill(self, items: int) -> None:
        await self._session(LONG).add_items([item(number) for number in range(items)])

    async def last(self) -> int:
        return len(await self._session(LONG).get_items(limit=LAST))


class AgentsSqlAlchemy(AgentsSqlite):
    """OpenAI Agents: a ``SQLAlchemySession`` for each task, on one engine of aiosqlite."""

    name = "agents_sqlalchemy"
    packages = ("openai-agents", "SQLAlchemy", "aiosqlite")
    call = "SQLAlchemySession.add_items, get_items"

    async def open(self) -> None:
        from agents.extensions.memory import SQLAlchemySession
        from sqlalchemy import event
        from sqlalchemy.ext.asyncio import create_async_engine

        self._engine = create_async_engine(f"sqlite+aiosqlite:///{self.file}")
        self._new = lambda name: SQLAlchemySession(name, engine=self._engine, create_tables=True)
        self._sessions = {}
        # The first session registers the settings of the SDK, which come before these.
        self._session(LONG)

        @event.listens_for(self._engine.sync_engine, "connect")
        def configure(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA journal_mode")
            journal = cursor.fetchone()[0]
            cursor.execute("PRAGMA synchronous")
            self.durability = f"journal_mode = {journal}, synchronous = {cursor.fetchone()[0]}"
            cursor.close()

        await self._session(LONG).get_items(limit=1)
        if self.durability != "journal_mode = wal, synchronous = 2":
            raise SystemExit(f"{self.name} is not durable as the others are: {self.durability}")

    async def close(self) -> None:
        await self._engine.dispose()


class LangGraphSqlite(Contender):
    """LangGraph: one ``AsyncSqliteSaver``. An item is a checkpoint; the last items are the latest checkpoint with 50 of them."""

    name = "langgraph_sqlite"
    packages = ("langgraph-checkpoint-sqlite", "aiosqlite")
    call = "AsyncSqliteSaver.aput, aget_tuple"

    async def open(self) -> None:
        import aiosqlite
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        self._connection = await aiosqlite.connect(self.file)
        self._saver: Any = AsyncSqliteSaver(self._connection)
        await self._saver.setup()
        await self._connection.execute("PRAGMA synchronous = FULL")
        await self._connection._execute(lambda: self._read_back(self._connection._conn))

    async def close(self) -> None:
        await self._connection.close()

    async def add(self, task: int, number: int) -> None:
        await self._put(f"task-{task}", number, [item(number)])

    async def _put(self, thread: str, number: int, items: list[Any]) -> None:
        from langgraph.checkpoint.base import empty_checkpoint

        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": items}
        config = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        await self._saver.aput(config, checkpoint, {"source": "loop", "step": number}, {})

    async def fill(self, items: int) -> None:
        # The file has the items that the others have, 50 in each checkpoint. Only this preparation is not durable.
        await self._connection.execute("PRAGMA synchronous = OFF")
        for first in range(0, items, LAST):
            await self._put(LONG, first, [item(number) for number in range(first, first + LAST)])
        await self._connection.execute("PRAGMA synchronous = FULL")

    async def last(self) -> int:
        found = await self._saver.aget_tuple({"configurable": {"thread_id": LONG, "checkpoint_ns": ""}})
        return len(found.checkpoint["channel_values"]["messages"])


class Throughline(Contender):
    """Throughline: one store, and a thread for each task."""

    name = "throughline"
    packages = ("throughline-py",)
    call = "Thread.add, page"

    async def open(self) -> None:
        import throughline

        self._store: Any = await throughline.open(self.file)
        # The store sets both pragmas on its connections, and refuses to open if they do not read back.
        self.durability = "journal_mode = wal, synchronous = 2, checked by the store when it opens"
        self._threads: dict[str, Any] = {}

    def _thread(self, name: str) -> Any:
        if name not in self._threads:
            self._threads[name] = self._store.thread(name)
        return self._threads[name]

    async def close(self) -> None:
        await self._store.close()

    async def add(self, task: int, number: int) -> None:
        added = item(number)
        await self._thread(f"task-{task}").add(added["role"], added["content"])

    async def fill(self, items: int) -> None:
        from throughline import ops

        for first in range(0, items, 500):
            wanted = [item(number) for number in range(first, min(first + 500, items))]
            await self._store.batch([ops.add(LONG, added["role"], added["content"]) for added in wanted])

    async def last(self) -> int:
        page = await self._thread(LONG).page(LAST, visibility="final")
        return len(json.loads(page.json))


class ThroughlineAgents(AgentsSqlite):
    """Throughline: a ``ThroughlineSession`` for each task, the adapter for OpenAI Agents."""

    name = "throughline_agents"
    packages = ("throughline-py", "openai-agents")
    call = "ThroughlineSession.add_items, get_items"

    async def open(self) -> None:
        import throughline
        from throughline.adapters.openai_agents import ThroughlineSession

        self._store: Any = await throughline.open(self.file)
        self.durability = "journal_mode = wal, synchronous = 2, checked by the store when it opens"
        self._new = lambda name: ThroughlineSession(name, self._store)
        self._sessions = {}

    async def close(self) -> None:
        await self._store.close()

    async def fill(self, items: int) -> None:
        for first in range(0, items, 500):
            await self._session(LONG).add_items([item(number) for number in range(first, min(first + 500, items))])


class ThroughlineLangGraph(LangGraphSqlite):
    """Throughline: the checkpoint saver, the adapter for LangGraph."""

    name = "throughline_langgraph"
    packages = ("throughline-py", "langgraph-checkpoint")
    call = "ThroughlineSaver.aput, aget_tuple"

    async def open(self) -> None:
        import throughline
        from throughline.adapters.langgraph import ThroughlineSaver

        self._store: Any = await throughline.open(self.file)
        self.durability = "journal_mode = wal, synchronous = 2, checked by the store when it opens"
        self._saver = ThroughlineSaver(self._store)

    async def close(self) -> None:
        await self._store.close()

    async def fill(self, items: int) -> None:
        for first in range(0, items, LAST):
            await self._put(LONG, first, [item(number) for number in range(first, first + LAST)])


PEERS: list[type[Contender]] = [AgentsSqlite, AgentsSqlAlchemy, LangGraphSqlite]
OURS: list[type[Contender]] = [Throughline, ThroughlineAgents, ThroughlineLangGraph]
ALL: dict[str, type[Contender]] = {contender.name: contender for contender in [*PEERS, *OURS]}
