"""The threads of one tenant of a ChatKit store, by the ids that ChatKit has for them.

A thread of Throughline that was deleted stays so. If ChatKit saves its id again, the thread is kept under a new id, and
a message in the hidden thread :data:`SAVED_AGAIN` names it. Only calls that do not find the first thread look there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from chatkit.store import NotFoundError

from .. import Store
from .._throughline import mint_id
from ..errors import AlreadyExists, Conflict, Gone, NotFound, Stale
from ._chatkit_mapping import ATTACHMENTS, NewMessage, quote

T = TypeVar("T")

#: The hidden thread of a tenant that names the threads which were deleted and saved again.
SAVED_AGAIN = "chatkit.saved_again"

#: How often a save that another writer overtakes is decided again.
_ATTEMPTS = 8


class Threads:
    """The threads of one tenant."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, args: str) -> Any:
        return json.loads(await self._store.run(args))

    async def read(self, read: str, args: str) -> Any:
        return (await self.run(f'{{"read":{{"{read}":{args}}}}}'))["read"].get(read)

    async def find(self, thread: str, read: Callable[[str], Awaitable[T | None]]) -> T | None:
        """Reads something of a thread. ``None`` if it is in none with this id of ChatKit."""
        found = await read(thread)
        if found is None and (again := await self._saved_again(thread)) is not None:
            found = await read(again[0])
        return found

    async def write(self, thread: str, write: Callable[[str], Awaitable[T]]) -> T:
        """Writes into a thread.

        :raises throughline.Gone: It was deleted and not saved again.
        """
        try:
            return await write(thread)
        except Gone:
            again = await self._saved_again(thread)
            if again is None:
                raise
            return await write(again[0])

    async def summary(self, thread: str) -> Any | None:
        """Returns the summary of a thread."""
        return await self.find(thread, lambda name: self.read("thread", f'{{"thread":{quote(name)}}}'))

    async def message(self, thread: str, id: str, kind: str) -> Any:
        """Returns a final message."""

        async def read(name: str) -> Any | None:
            found = await self.read("get", f'{{"thread":{quote(name)},"id":{quote(id)}}}')
            return found if found is not None and found["state"] == "final" else None

        message = await (read(thread) if thread == ATTACHMENTS else self.find(thread, read))
        if message is None:
            where = "" if thread == ATTACHMENTS else f" in thread {thread}"
            raise NotFoundError(f"{kind} {id} not found{where}")
        return message

    async def save(self, thread: str, title: str, metadata: str, created: int) -> None:
        """Creates a thread, or replaces its title and metadata."""

        async def create(name: str) -> None:
            await self.run(f'{{"thread":{{"create":{arguments(name)}}}}}')

        def arguments(name: str) -> str:
            text = f'"title":{quote(title)},"metadata":{metadata},"createdAt":{created},"reusesIds":true'
            return f'{{"thread":{quote(name)},{text}}}'

        async def change(name: str) -> None:
            rename = f'{{"thread":{{"rename":{{"thread":{quote(name)},"title":{quote(title)}}}}}}}'
            label = f'{{"thread":{{"label":{{"thread":{quote(name)},"metadata":{metadata}}}}}}}'
            await self.run(f'{{"batch":{{"items":[{rename},{label}]}}}}')

        for _ in range(_ATTEMPTS):
            try:
                return await create(thread)
            except AlreadyExists:
                with contextlib.suppress(NotFound, Gone):  # Another writer has deleted the thread since.
                    return await change(thread)
                continue
            except Gone:
                again = await self._saved_again(thread)
            if again is not None:
                with contextlib.suppress(NotFound, Gone):  # It was deleted again.
                    return await change(again[0])
            with contextlib.suppress(AlreadyExists, Stale):  # Another writer has saved it again since.
                return await self._save_again(thread, arguments, again)
        raise _overtaken("thread", thread)

    async def put(self, message: NewMessage) -> None:
        """Replaces a message, or adds it at the end of its thread."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(NotFound, Gone):
                await self.run(message.replace())
                return
            with contextlib.suppress(AlreadyExists):  # Another writer has added it since.
                await self.run(message.add())
                return
        raise _overtaken("message", message.id)

    async def put_hidden(self, message: NewMessage) -> None:
        """Replaces a message of a thread that no list shows, or adds it and creates the thread."""
        with contextlib.suppress(NotFound, Gone):
            await self.run(message.replace())
            return
        await self._create_hidden(message.thread)
        await self.put(message)

    async def delete(self, thread: str) -> None:
        """Deletes a thread, if there is one."""
        with contextlib.suppress(NotFound):
            answer = await self.run(f'{{"thread":{{"delete":{{"thread":{quote(thread)}}}}}}}')
            if answer["thread"]["delete"]["already"] and (again := await self._saved_again(thread)) is not None:
                await self.run(f'{{"thread":{{"delete":{{"thread":{quote(again[0])}}}}}}}')

    async def delete_message(self, thread: str, id: str) -> None:
        """Deletes a message."""
        await self.run(f'{{"delete":{{"thread":{quote(thread)},"id":{quote(id)}}}}}')

    async def _create_hidden(self, thread: str) -> None:
        with contextlib.suppress(AlreadyExists):
            await self.run(f'{{"thread":{{"create":{{"thread":"{thread}","hidden":true,"reusesIds":true}}}}}}')

    async def _saved_again(self, thread: str) -> tuple[str, int] | None:
        """Returns the id under which a deleted thread was saved again, and the revision of the message that names it."""
        message = await self.read("get", f'{{"thread":"{SAVED_AGAIN}","id":{quote(thread)}}}')
        return None if message is None else (message["content"][0]["thread"], message["revision"])

    async def _save_again(self, thread: str, arguments: Callable[[str], str], before: tuple[str, int] | None) -> None:
        """Creates the thread of an id that was deleted, and names it in the same transaction."""
        name = mint_id()
        create = f'{{"thread":{{"create":{arguments(name)}}}}}'
        at = f'"thread":"{SAVED_AGAIN}","id":{quote(thread)}'
        content = f'[{{"thread":"{name}"}}]'
        if before is None:
            await self._create_hidden(SAVED_AGAIN)
            point = f'{{"add":{{{at},"role":"system","content":{content}}}}}'
        else:
            change = f'"change":{{"replace":{content}}},"mode":"edit","expected":{before[1]}'
            point = f'{{"updateContent":{{{at},{change}}}}}'
        await self.run(f'{{"batch":{{"items":[{create},{point}]}}}}')


def _overtaken(kind: str, id: str) -> Conflict:
    return Conflict(
        f"{kind} {id} was deleted and added by other writers during each of {_ATTEMPTS} attempts to save it"
    )
