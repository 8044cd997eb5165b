"""Threads, batches, search, the change feed, tenants."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest
from conftest import run

import throughline
from throughline import ops


def test_a_thread_is_created_changed_and_deleted(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            assert await thread.summary() is None
            created = await thread.create(
                title="Trip", owner="alice", labels={"channel": "web"}, metadata={"n": 1}, key="make-1"
            )
            assert (created.summary.title, created.summary.owner) == ("Trip", "alice")
            assert (created.summary.labels, created.summary.metadata) == ({"channel": "web"}, {"n": 1})
            assert (await thread.create(title="Trip", owner="alice", labels={"channel": "web"}, metadata={"n": 1}, key="make-1")).deduplicated
            with pytest.raises(throughline.AlreadyExists):
                await thread.create(title="Other")
            renamed = await thread.rename("Lisbon", expected="Trip")
            assert renamed.summary.title == "Lisbon"
            with pytest.raises(throughline.Stale):
                await thread.rename("Porto", expected="Trip")
            labeled = await thread.label({"channel": None, "kind": "trip"}, owner=None, metadata={"n": None})
            assert (labeled.summary.labels, labeled.summary.owner, labeled.summary.metadata) == ({"kind": "trip"}, None, {})
            kept = await thread.label({"kind": "tour"}, owner="bob")
            assert kept.summary.owner == "bob"
            assert (await thread.label({"x": "y"})).summary.owner == "bob"
            assert (await thread.archive()).summary.archived
            assert not (await thread.archive(False)).summary.archived
            await thread.add("user", "hello")
            assert (await thread.rebuild_summary()).summary.messages == 1
            cleared = await thread.clear()
            assert (cleared.summary.messages, cleared.summary.generation) == (0, 1 + created.summary.generation)
            assert (await thread.delete()).already is False
            assert (await thread.delete()).already is True
            assert await thread.purge() == []
            with pytest.raises(throughline.Gone):
                await thread.add("user", "hello")

    run(main())


def test_lists_are_pages_with_a_cursor(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            for number in range(5):
                await store.thread(f"t-{number}").add("user", f"message {number}")
            await store.thread("t-1").label({"kind": "odd"}, owner="alice")
            await store.thread("t-2").archive()
            first = await store.threads(2)
            assert [one.thread for one in first.threads] == ["t-4", "t-3"]
            assert first.threads[0].preview == "message 4"
            assert first.next is not None
            second = await store.threads(2, after=first.next)
            assert [one.thread for one in second.threads] == ["t-1", "t-0"]
            assert [one.thread for one in (await store.threads(owner="alice")).threads] == ["t-1"]
            assert [one.thread for one in (await store.threads(labels={"kind": "odd"})).threads] == ["t-1"]
            assert [one.thread for one in (await store.threads(archived=True)).threads] == ["t-2"]
            assert len((await store.threads(archived=None)).threads) == 5

    run(main())


def test_tenants_do_not_see_each_other(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url, tenant="acme") as store:
            assert store.tenant == "acme"
            other = store.for_tenant("other")
            await store.thread("t").add("user", "hello")
            assert await other.thread("t").summary() is None
            await other.thread("t").add("user", "another")
            assert (await store.thread("t").page()).messages[0].text == "hello"
            assert await store.tenants() == ["acme", "other"]
            assert await store.tenants(1, after="acme") == ["other"]

    run(main())


def test_a_batch_is_applied_as_a_whole(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            batch = [
                ops.add("t", "user", b'[{"n":1.10,"n":2}]', id="m-1"),
                ops.add("t", "assistant", "two"),
                ops.update("t", "m-1", {"seen": True}),
                ops.create_thread("u", title="Other"),
                ops.rename_thread("t", "Title"),
            ]
            done = await store.batch(batch, key="b-1")
            assert done.deduplicated is False
            assert done.outputs[0].message.content_json == b'[{"n":1.10,"n":2}]'
            assert [done.outputs[0].seq, done.outputs[1].seq] == [1, 2]
            assert done.outputs[2].metadata == {"seen": True}
            assert [done.outputs[3].summary.title, done.outputs[4].summary.title] == ["Other", "Title"]
            assert (await store.batch(batch, key="b-1")).deduplicated is True
            with pytest.raises(throughline.NotFound) as raised:
                await store.batch([ops.add("t", "user", "three"), ops.delete("t", "none")])
            assert (raised.value.batch_index, raised.value.effect) == (1, "notApplied")
            assert len(await store.thread("t").page()) == 2
            with pytest.raises(throughline.Stale):
                await store.batch([ops.add("t", "user", "three")], after=1)

    run(main())


def test_run_takes_operations_and_json(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            added = await store.run(ops.add("t", "user", "hello", id="m"), key="k")
            assert added.message.text == "hello"
            answer = await store.run(b'{"read":{"get":{"thread":"t","id":"m"}}}')
            assert b'"content":[{"type":"text","text":"hello"}]' in answer
            answer = await store.run('{"read":{"thread":{"thread":"none"}}}')
            assert answer == b'{"read":{"thread":null}}'
            with pytest.raises(throughline.Invalid, match="unknown variant"):
                await store.run(b'{"melt":{}}')
            with pytest.raises(throughline.Invalid, match="takes no idempotency key"):
                await store.run(b'{"read":{"thread":{"thread":"none"}}}', key="k")
            with pytest.raises(TypeError, match="bytes or str"):
                await store.run(3)  # type: ignore[call-overload]

    run(main())


def test_a_fork_copies_up_to_a_message(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            for number in range(4):
                await thread.add("user", str(number), id=f"m-{number}")
            forked = await thread.fork("m-2", id="u", title="A fork", labels={"a": "b"}, metadata={"n": 1})
            assert (forked.messages, forked.summary.thread, forked.summary.title) == (3, "u", "A fork")
            assert forked.summary.forked_from == throughline.ForkPoint("t", "m-2")
            assert [message.text for message in (await store.thread("u").page()).messages] == ["0", "1", "2"]
            assert (await thread.fork("m-0")).messages == 1
            with pytest.raises(throughline.NotFound):
                await thread.fork("none")

    run(main())


def test_a_prune_keeps_the_latest(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            for number in range(6):
                await thread.add("user", str(number), attachments=[f"file-{number}"])
            pruned = await thread.prune(messages=2)
            assert (pruned.messages, pruned.attachments) == (4, ["file-0", "file-1", "file-2", "file-3"])
            assert [message.text for message in (await thread.page()).messages] == ["4", "5"]
            assert (await thread.prune(since=datetime(2020, 1, 1, tzinfo=timezone.utc))).messages == 0
            assert await store.purge() == []

    run(main())


def test_search_finds_words(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url, search=True) as store:
            await store.thread("t").add("user", "a train to Lisbon", id="m")
            await store.thread("u").add("user", "a train to Porto")
            while not (hits := await store.search("lisbon")).hits:
                await asyncio.sleep(0.01)
            (hit,) = hits.hits
            assert (hit.thread, hit.id, hit.seq, hit.role) == ("t", "m", 1, "user")
            assert "Lisbon" in hit.snippet
            begin, end = hit.marks[0]
            assert hit.snippet.encode()[begin:end] == b"Lisbon"
            assert [one.thread for one in (await store.search("train", thread="u")).hits] == ["u"]

    run(main())


def test_search_needs_an_index(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path) as store:
            with pytest.raises(throughline.Unsupported):
                await store.search("lisbon")

    run(main())


def test_changes_are_iterated_and_waited_for(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            await thread.add("user", "one", id="m-1")
            await thread.update("m-1", {"a": 1})
            await thread.rename("Title")
            there = [(change.kind, change.message, change.seq, change.revision) async for change in store.changes(wait=False)]
            assert there == [("added", "m-1", 1, 1), ("patched", "m-1", 1, 1), ("threadChanged", None, None, None)]

            position = (await thread.page()).position
            feed = store.changes(after=position)
            waiting = asyncio.create_task(feed.__anext__())
            await asyncio.sleep(0)
            assert not waiting.done()
            await store.thread("u").add("user", "two", id="m-2")
            change = await waiting
            assert (change.kind, change.thread, change.message) == ("added", "u", "m-2")
            assert feed.position == change.position > position

            of_thread = [change.thread async for change in thread.changes(wait=False)]
            assert set(of_thread) == {"t"}

    run(main())


def test_a_cancelled_wait_loses_no_change(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            await thread.add("user", "first")
            feed = store.changes(after=(await thread.page()).position)
            seen: list[str | None] = []
            for number in range(20):
                for _ in range(5):
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(feed.__anext__(), 0.001)
                waiting = asyncio.create_task(feed.__anext__())
                await asyncio.sleep(0)
                adding = asyncio.create_task(thread.add("user", str(number), id=f"m-{number}"))
                if number % 2:
                    waiting.cancel()
                await adding
                if not waiting.cancelled():
                    try:
                        seen.append((await waiting).message)
                    except asyncio.CancelledError:
                        pass
                if len(seen) <= number:
                    seen.append((await feed.__anext__()).message)
            assert seen == [f"m-{number}" for number in range(20)]

    run(main())
