"""A session of the OpenAI Agents SDK with branches, and with the usage of each turn: :class:`BranchingSession`."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timezone
from os import PathLike
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from .._throughline import mint_id
from .openai_items import call_of_tool, is_user, preview, texts_of, tool_of, type_of
from .openai_messages import addition, decode, dumps, encode
from .openai_session import ThroughlineSession, settled

if TYPE_CHECKING:
    from agents.items import TResponseInputItem
    from agents.memory import SessionSettings
    from agents.result import RunResult

    from .. import Store

T = TypeVar("T")

MAIN = "main"
"""The name of the first branch. Its thread has the id of the session."""

# The labels of the thread of a branch, and the names in its metadata.
_SESSION, _GENERATION = "openai-session", "openai-generation"
_BRANCH, _CREATOR = "openai-branch", "openai-creator"

# The usage of a turn, in the metadata of the first message of the turn.
_USAGE = "openai-usage"

_TOTALS = ("requests", "input_tokens", "output_tokens", "total_tokens")
_DETAILS = ("input_tokens_details", "output_tokens_details")


@dataclass(frozen=True)
class _Branch:
    """A branch, and the generation of the session in which it was selected. A clear starts the next one. ``main`` is in all."""

    name: str
    thread: str
    generation: int


@dataclass(frozen=True)
class _Row:
    """An item of a branch with the number of its turn. 0 is before the first message of the user."""

    message: dict[str, Any]
    item: Any
    turn: int


class BranchingSession(ThroughlineSession):
    """A session whose conversation has branches, with the methods of the SDK's ``AdvancedSQLiteSession``.

    | of the SDK | here |
    |---|---|
    | the branch ``main`` | the thread with the id of the session |
    | another branch | a thread with a derived id and the label ``openai-session``; it begins as a fork |
    | a reserved name | a thread that exists or was deleted: its id is never used again |
    | the usage of a turn | the metadata ``openai-usage`` of the first message of the turn |

    The current branch belongs to this object, and begins as ``main``. After another object has cleared the session, the next call
    continues on ``main``. Calls that change the history, and the read of ``store_run_usage``, run in the order in which they began.
    """

    def __init__(
        self,
        session_id: str,
        store: Store | str | PathLike[str],
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        logger: logging.Logger | None = None,
    ) -> None:
        super().__init__(session_id, store, session_settings=session_settings)
        self._main = _Branch(MAIN, self._thread_id, 0)
        self._branch = self._main
        self._logger = logger or logging.getLogger(__name__)
        self._order = Lock()
        self._last: Future[None] | None = None

    @property
    def current_branch(self) -> str:
        """The name of the branch that the next call uses."""
        return self._branch.name

    # The history of the current branch.

    async def get_items(
        self, limit: int | None = None, branch_id: str | None = None
    ) -> list[TResponseInputItem]:
        """Returns the items of a branch, by default the current one: see :meth:`ThroughlineSession.get_items`."""
        return await self._items(await self._thread_of(branch_id), self._limit(limit))

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Adds items to the current branch in one transaction: all of them, or none."""
        self._check_open()
        if not items:
            return
        # An item that is not JSON fails before the call is in the order.
        encoded = [encode(item) for item in items]

        async def add(thread: str) -> None:
            await self._write([addition(thread, *one) for one in encoded])

        await settled(self._on_branch(add))

    async def pop_item(self) -> TResponseInputItem | None:
        """Deletes the last item of the current branch and returns it. The same item of other branches stays."""
        self._check_open()
        return await settled(self._on_branch(self._take))

    async def clear_session(self) -> None:
        """Deletes the items of all branches in one transaction, and returns to ``main``. The names of the branches stay reserved."""
        self._check_open()

        async def clear() -> None:
            branches = [one["thread"] for one in await self._branches() if one["thread"] != self._thread_id]
            operations = [f'{{"thread":{{"clear":{{"thread":{self._thread}}}}}}}']
            operations += [f'{{"thread":{{"delete":{{"thread":{dumps(thread)}}}}}}}' for thread in branches]
            try:
                await self._write(operations)
            except errors.NotFound:
                pass  # A session without a write has no branches either.
            self._branch = self._main

        await settled(clear())

    # Branches.

    async def create_branch_from_turn(self, turn_number: int, branch_name: str | None = None) -> str:
        """Creates a branch with the items before a turn of the current branch, selects it and returns its name.

        ``turn_number`` counts the messages of the user from 1. Without ``branch_name`` a name is generated. Raises ``ValueError`` if
        the turn does not exist, or if the name is blank or was used before.
        """
        self._check_open()
        if branch_name is not None and not branch_name.strip():
            raise ValueError("Branch name cannot be empty")
        return await settled(self._create_branch(turn_number, branch_name))

    async def create_branch_from_content(self, search_term: str, branch_name: str | None = None) -> str:
        """Creates a branch before the first turn whose message of the user contains the text: see :meth:`create_branch_from_turn`."""
        turns = await self.find_turns_by_content(search_term)
        if not turns:
            raise ValueError(f"No user turns found containing '{search_term}'")
        return await self.create_branch_from_turn(turns[0]["turn"], branch_name)

    async def switch_to_branch(self, branch_id: str) -> None:
        """Selects a branch. Raises ``ValueError`` if it does not exist."""
        self._check_open()
        if branch_id == MAIN:
            self._branch = self._main
            return
        generation = await self._generation()
        if await self._summary_of(branch_id, generation) is None:
            raise ValueError(f"Branch '{branch_id}' does not exist")
        await self._select(_Branch(branch_id, self._id_of(branch_id), generation))

    async def delete_branch(self, branch_id: str, force: bool = False) -> None:
        """Deletes a branch with its items and its usage. Its name stays reserved.

        Raises ``ValueError`` if the branch does not exist or is ``main``, or if it is the current one. With ``force`` the current
        branch is deleted too, and ``main`` becomes the current one.
        """
        self._check_open()
        if not branch_id or not branch_id.strip():
            raise ValueError("Branch ID cannot be empty")
        if branch_id == MAIN:
            raise ValueError("Cannot delete the 'main' branch")
        is_current = branch_id == self._branch.name
        if is_current and not force:
            raise ValueError(
                f"Cannot delete current branch '{branch_id}'. Use force=True or switch branches first"
            )

        async def delete() -> None:
            if await self._summary_of(branch_id, await self._generation()) is None:
                raise ValueError(f"Branch '{branch_id}' does not exist")
            await self._write([f'{{"thread":{{"delete":{{"thread":{dumps(self._id_of(branch_id))}}}}}}}'])
            if self._branch.name == branch_id:
                self._branch = self._main

        await settled(self._in_order(delete))

    async def list_branches(self) -> list[dict[str, Any]]:
        """Returns the branches that have items, in the order of their creation.

        Each is a dictionary with ``branch_id``, ``message_count``, ``user_turns``, ``is_current`` and ``created_at``.
        """
        current = await self._live(self._branch)
        return [
            {
                "branch_id": one["name"],
                "message_count": one["messages"],
                "user_turns": one["turns"],
                "is_current": one["name"] == current.name,
                "created_at": _time(one["createdAt"]),
            }
            for one in await self._branches()
            if one["messages"]
        ]

    # The turns of a branch.

    async def get_conversation_turns(self, branch_id: str | None = None) -> list[dict[str, Any]]:
        """Returns the messages of the user: ``turn``, ``content`` (shortened), ``full_content``, ``timestamp`` and ``can_branch``."""
        rows = await self._rows(await self._thread_of(branch_id))
        return [_turn(row, 100) for row in rows if is_user(row.item)]

    async def find_turns_by_content(
        self, search_term: str, branch_id: str | None = None
    ) -> list[dict[str, Any]]:
        """Returns the messages of the user that contain the text: see :meth:`get_conversation_turns`. Only the case of ASCII letters
        is ignored."""
        pattern = re.compile(re.escape(search_term), re.IGNORECASE | re.ASCII)
        rows = await self._rows(await self._thread_of(branch_id))
        return [
            _turn(row, None)
            for row in rows
            if is_user(row.item) and any(pattern.search(text) for text in texts_of(row.item))
        ]

    async def get_conversation_by_turns(
        self, branch_id: str | None = None
    ) -> dict[int, list[dict[str, str | None]]]:
        """Returns the ``type`` and the ``tool_name`` of the items of each turn."""
        turns: dict[int, list[dict[str, str | None]]] = {}
        for row in await self._rows(await self._thread_of(branch_id)):
            entry = {"type": type_of(row.item), "tool_name": tool_of(row.item)}
            turns.setdefault(row.turn, []).append(entry)
        return turns

    async def get_tool_usage(self, branch_id: str | None = None) -> list[tuple[str, int, int]]:
        """Returns how often each tool was called in each turn: its name, the number of calls, and the turn."""
        rows = await self._rows(await self._thread_of(branch_id))
        searched = {row.turn for row in rows if type_of(row.item) == "tool_search_call"}
        counts: dict[tuple[int, str], int] = {}
        for row in rows:
            name = call_of_tool(row.item)
            if name is None and type_of(row.item) == "tool_search_output" and row.turn not in searched:
                name = tool_of(row.item)
            if name is not None:
                counts[row.turn, name] = counts.get((row.turn, name), 0) + 1
        return [(name, count, turn) for (turn, name), count in sorted(counts.items())]

    # Usage.

    async def store_run_usage(self, result: RunResult) -> None:
        """Keeps the usage of a run with the turn that is now the last one of the current branch.

        A call after ``Runner.run`` has ended. Without a turn there is nothing to keep. A failure is logged, and never raised.
        """
        usage = result.context_wrapper.usage
        if usage is None:
            return
        branch = self._branch

        async def last_turn() -> tuple[str, str] | None:
            live = await self._live(branch)
            if live != branch:
                return None  # A clear has deleted the turn of this run.
            rows = await self._rows(live.thread)
            first = next((row for row in rows if rows[-1].turn == row.turn), None)
            return None if first is None else (live.thread, first.message["id"])

        captured = self._in_order(last_turn)

        async def store() -> None:
            anchor = await captured
            if anchor is None:
                return
            record = {name: getattr(usage, name, 0) or 0 for name in _TOTALS}
            record |= {name: _fields(getattr(usage, name, None)) for name in _DETAILS}
            patch = dumps({_USAGE: {"thread": anchor[0], **record}})
            update = f'{{"update":{{"thread":{dumps(anchor[0])},"id":{dumps(anchor[1])},"metadata":{patch}}}}}'
            try:
                await self._write([update])
            except (errors.NotFound, errors.Gone):
                pass  # The turn was deleted meanwhile.

        try:
            await settled(store())
        except Exception as error:
            facts = {"throughline_error": getattr(error, "code", type(error).__name__)}
            self._logger.error("Failed to store session usage", extra=facts, exc_info=error)

    async def get_session_usage(self, branch_id: str | None = None) -> dict[str, int] | None:
        """Returns the sums of the usage of one branch, or of all branches, with ``total_turns``. ``None`` if there is none."""
        if branch_id:
            threads = [self._id_of(branch_id)]
        else:
            threads = [one["thread"] for one in await self._branches()]
        records = [record for thread in threads for record in (await self._usage(thread)).values()]
        if not records:
            return None
        sums = {name: sum(record[name] for record in records) for name in _TOTALS}
        return {**sums, "total_turns": len(records)}

    async def get_turn_usage(
        self, user_turn_number: int | None = None, branch_id: str | None = None
    ) -> list[dict[str, Any]] | dict[str, Any]:
        """Returns the usage of one turn, ``{}`` if it has none, or the list of the usage of all turns with ``user_turn_number``."""
        records = await self._usage(await self._thread_of(branch_id))
        if user_turn_number is not None:
            return records.get(user_turn_number, {})
        return [{"user_turn_number": turn, **record} for turn, record in records.items()]

    # The order of calls.

    def _in_order(self, call: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        """Starts a call after all calls before it, in any event loop."""
        done: Future[None] = Future()
        with self._order:
            before, self._last = self._last, done

        async def run() -> T:
            if before is not None:
                # A cancellation of this call does not reach the call before it.
                await asyncio.shield(asyncio.wrap_future(before))
            return await call()

        task = asyncio.ensure_future(run())
        # Also after a call that was cancelled before its first step, the next one starts.
        task.add_done_callback(lambda _: done.set_result(None))
        return task

    # The threads of branches.

    def _id_of(self, name: str) -> str:
        """Returns the thread of a branch. Every process derives the same id, so that a thread reserves the name."""
        if name == MAIN:
            return self._thread_id
        digest = hashlib.sha256(dumps([self.session_id, name]).encode()).hexdigest()
        return f"openai-branch-{digest[:40]}"

    async def _summary(self, thread: str) -> dict[str, Any] | None:
        answer = await self._run(f'{{"read":{{"thread":{{"thread":{dumps(thread)}}}}}}}')
        summary: dict[str, Any] | None = answer["read"]["thread"]
        return summary

    async def _summary_of(self, name: str, generation: int) -> dict[str, Any] | None:
        """Returns the summary of a branch that has items. ``None`` if there is no such branch in this generation."""
        summary = await self._summary(self._id_of(name))
        if summary is None or not summary["messages"]:
            return None
        return summary if summary.get("labels", {}).get(_GENERATION) == str(generation) else None

    async def _generation(self) -> int:
        summary = await self._summary(self._thread_id)
        return 0 if summary is None else int(summary["generation"])

    async def _live(self, branch: _Branch) -> _Branch:
        """Returns the branch, or ``main`` if the session was cleared since the branch was selected."""
        if branch == self._main or await self._generation() == branch.generation:
            return branch
        if self._branch == branch:
            self._branch = self._main
        return self._main

    def _on_branch(self, write: Callable[[str], Awaitable[T]]) -> asyncio.Task[T]:
        """Returns a write, in the order of calls, to the thread of the branch that is now the current one."""
        branch = self._branch

        async def call() -> T:
            live = await self._live(branch)
            try:
                return await write(dumps(live.thread))
            except errors.Gone:
                again = await self._live(branch)
                if again == live:
                    raise  # The branch was deleted.
                return await write(dumps(again.thread))  # Another object has just cleared the session.

        return self._in_order(call)

    async def _thread_of(self, branch_id: str | None) -> str:
        if branch_id is not None:
            return self._id_of(branch_id)
        return (await self._live(self._branch)).thread

    async def _select(self, branch: _Branch) -> None:
        """Makes a branch the current one, or ``main`` if the session was cleared meanwhile."""
        self._branch = branch if await self._generation() == branch.generation else self._main

    async def _branches(self) -> list[dict[str, Any]]:
        """Returns the summaries of the threads of this generation, in the order of their creation, each with its ``name``."""
        main = await self._summary(self._thread_id)
        if main is None:
            return []
        main["name"] = MAIN
        branches: list[dict[str, Any]] = []
        labels = dumps({_SESSION: self._thread_id, _GENERATION: str(main["generation"])})
        after: Any = None
        while True:
            cursor = "" if after is None else f',"after":{dumps(after)}'
            answer = await self._run(f'{{"read":{{"threads":{{"labels":{labels},"limit":1000{cursor}}}}}}}')
            page = answer["read"]["threads"]
            branches += page["threads"]
            after = page.get("next")
            if after is None:
                break
        for one in branches:
            one["name"] = one["metadata"][_BRANCH]
        return [main, *sorted(branches, key=lambda one: (one["createdAt"], one["name"]))]

    async def _create_branch(self, turn_number: int, branch_name: str | None) -> str:
        source = await self._live(self._branch)
        generation = await self._generation()
        rows = await self._rows(source.thread)
        at = next((at for at, row in enumerate(rows) if is_user(row.item) and row.turn == turn_number), None)
        if at is None:
            raise ValueError(
                f"Turn {turn_number} does not contain a user message in branch '{source.name}'"
            )
        generated = f"branch_from_turn_{turn_number}_{int(time.time())}"
        name, number = branch_name if branch_name is not None else generated, 1
        while not await self._fork(source, rows[at - 1].message["id"] if at else None, name, generation):
            if branch_name is not None:
                raise ValueError(f"Branch ID '{name}' has already been used. Choose a new branch ID.")
            number += 1
            name = f"{generated}_{number}"
        await self._select(_Branch(name, self._id_of(name), generation))
        self._logger.debug("Created branch %r from turn %s of %r", name, turn_number, source.name)
        return name

    async def _fork(self, source: _Branch, last: str | None, name: str, generation: int) -> bool:
        """Creates the thread of a branch with the messages up to ``last``. Returns whether the name was free."""
        thread = self._id_of(name)
        found = await self._summary(thread)
        # A thread that is not listed and has a source is a fork that was interrupted, and that the next fork continues.
        if found is not None and (found["listed"] or not found.get("forkedFrom")):
            return False
        labels = {_SESSION: self._thread_id, _GENERATION: str(generation)}
        # Two forks from the same message continue each other. The name belongs to the one that has created the thread.
        metadata = {_BRANCH: name, _CREATOR: mint_id()}
        store = self._store or await self._open()
        try:
            if last is None:
                await store.thread(thread).create(labels=labels, metadata=metadata)
                return True
            await store.thread(source.thread).fork(last, id=thread, labels=labels, metadata=metadata)
        except (errors.AlreadyExists, errors.Conflict):
            return False
        except errors.Gone as error:
            # Of the new thread, whose name was used, and not of the source, which was cleared.
            if error.thread == thread:
                return False
            raise
        summary = await self._summary(thread)
        return summary is not None and summary["metadata"].get(_CREATOR) == metadata[_CREATOR]

    # The items of a branch.

    async def _rows(self, thread: str) -> list[_Row]:
        rows: list[_Row] = []
        turn = 0
        for message in await self._messages(thread, None):
            item = decode(message)
            turn += is_user(item)
            rows.append(_Row(message, item, turn))
        return rows

    async def _usage(self, thread: str) -> dict[int, dict[str, Any]]:
        """Returns the usage of the turns of a thread. A fork copies the metadata of another branch, which has another thread."""
        records: dict[int, dict[str, Any]] = {}
        for row in await self._rows(thread):
            record = row.message["metadata"].get(_USAGE)
            if isinstance(record, dict) and record.get("thread") == thread:
                records[row.turn] = {name: record.get(name) for name in (*_TOTALS, *_DETAILS)}
        return records


def _turn(row: _Row, length: int | None) -> dict[str, Any]:
    content = row.item.get("content", "")
    return {
        "turn": row.turn,
        "content": preview(content, length),
        "full_content": content,
        "timestamp": _time(row.message["createdAt"]),
        "can_branch": True,
    }


def _time(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1_000_000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _fields(details: object) -> Any:
    """Returns the fields of the details of a usage, or ``None`` if they are not JSON."""
    try:
        return json.loads(json.dumps(vars(details))) if details else None
    except (TypeError, ValueError):
        return None
