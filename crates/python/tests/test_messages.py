"""Messages: add, get, page, update, edit, delete, take."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from conftest import run

import throughline


def test_an_added_message_has_every_attribute(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            before = datetime.now(timezone.utc) - timedelta(milliseconds=1)
            added = await store.thread("t").add(
                "user", "hello", id="m-1", metadata={"source": "web", "n": 1}, attachments=["file-1"]
            )
            message = added.message
            assert (added.id, added.seq, added.deduplicated) == ("m-1", 1, False)
            assert (message.id, message.thread, message.tenant, message.seq) == ("m-1", "t", "default", 1)
            assert (message.role, message.state, message.revision) == ("user", "final", 1)
            assert message.content == [{"type": "text", "text": "hello"}]
            assert message.content_json == b'[{"type":"text","text":"hello"}]'
            assert message.text == "hello"
            assert message.metadata == {"source": "web", "n": 1}
            assert json.loads(message.metadata_json) == {"source": "web", "n": 1}
            assert message.attachments == ["file-1"]
            assert message.abandon_reason is None
            assert before <= message.created_at == message.updated_at <= datetime.now(timezone.utc)
            assert message.created_at_micros == round(message.created_at.timestamp() * 1_000_000)
            assert throughline.Message.from_json(message.json) == message
            assert await store.thread("t").get("m-1") == message
            assert repr(message) == '<Message "m-1" seq=1 role=user state=final>'

    run(main())


def test_a_key_applies_a_call_once(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            first = await thread.add("user", "hello", key="k")
            again = await thread.add("user", "hello", key="k")
            assert (first.deduplicated, again.deduplicated) == (False, True)
            assert again.id == first.id
            with pytest.raises(throughline.Conflict):
                await thread.add("user", "other", key="k")
            assert len(await thread.page()) == 1

    run(main())


def test_pages_go_in_both_directions(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            for number in range(7):
                await thread.add("user", str(number))

            latest = await thread.page(3)
            assert [message.text for message in latest.messages] == ["4", "5", "6"]
            assert (latest.has_more, latest.next, latest.last_seq, len(latest)) == (True, 5, 7, 3)
            earlier = await thread.page(3, before=latest.next)
            assert [message.text for message in earlier.messages] == ["1", "2", "3"]
            first = await thread.page(3, after=0)
            assert [message.seq for message in first.messages] == [1, 2, 3]
            last = await thread.page(10, after=first.next)
            assert [message.seq for message in last.messages] == [4, 5, 6, 7]
            assert (last.has_more, last.next) == (False, None)
            assert latest.messages is latest.messages

            assert [one["seq"] for one in json.loads(latest.json)] == [5, 6, 7]
            assert json.loads(latest.contents_json) == [[{"type": "text", "text": text}] for text in "456"]
            assert not await store.thread("empty").page()
            assert (await store.thread("empty").page()).contents_json == b"[]"

            walked = [message.text async for message in thread.messages(page_size=2)]
            assert walked == list("0123456")
            back = [message.text async for message in thread.messages_reversed(page_size=2)]
            assert back == list("6543210")
            with pytest.raises(throughline.Invalid, match="`after` or `before`"):
                await thread.page(after=1, before=2)
            with pytest.raises(throughline.Invalid):
                await thread.page(0)

    run(main())


def test_a_page_leaves_out_open_messages(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            await thread.add("user", "hello")
            draft = await thread.draft().start()
            assert len(await thread.page()) == 2
            assert len(await thread.page(visibility="final")) == 1
            assert (await thread.page()).first_open == 2
            await draft.abandon("no more")
            assert len(await thread.page(visibility="settled")) == 2
            assert len(await thread.page(visibility="final")) == 1
            abandoned = (await thread.page()).messages[1]
            assert (abandoned.state, abandoned.abandon_reason) == ("abandoned", "no more")

    run(main())


def test_metadata_and_content_change(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            await thread.add("user", "hello", id="m", metadata={"a": 1, "b": 2})
            updated = await thread.update("m", {"a": None, "c": [3]})
            assert (updated.metadata, updated.revision) == ({"b": 2, "c": [3]}, 1)
            edited = await thread.edit("m", [{"type": "text", "text": "changed"}], expected=1)
            assert (edited.revision, edited.state) == (2, "final")
            with pytest.raises(throughline.Stale):
                await thread.update("m", {"a": 1}, expected=1)
            found = await thread.get("m")
            assert found is not None and found.text == "changed"
            deleted = await thread.delete_message("m", expected=2)
            assert (deleted.id, deleted.seq, deleted.state) == ("m", 1, "final")
            assert await thread.get("m") is None
            with pytest.raises(throughline.Gone):
                await thread.add("user", "again", id="m")

    run(main())


def test_the_last_message_is_taken_as_a_whole(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            with pytest.raises(throughline.NotFound):
                await thread.take_last()
            await thread.add("user", b'[{"n":1.10,"n":2}]', id="m-1")
            await thread.add("user", "two", id="m-2")
            taken = await thread.take_last(expected=2)
            assert taken.message is not None and taken.message.text == "two"
            assert taken.deleted is not None and taken.deleted.id == "m-2"
            taken = await thread.take_last()
            assert taken.message is not None and taken.message.content_json == b'[{"n":1.10,"n":2}]'
            assert (await thread.take_last()).message is None

    run(main())


def test_add_requires_the_last_seq(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            await thread.add("user", "one", after=0)
            await thread.add("user", "two", after=1)
            with pytest.raises(throughline.Stale):
                await thread.add("user", "three", after=1)

    run(main())
