"""Opening, sharing, maintaining and closing stores."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from conftest import run

import throughline
from throughline import layers, sync


def test_open_is_awaited_or_entered(path: str) -> None:
    async def main() -> None:
        store = await throughline.open(path)
        await store.thread("t").add("user", "hello")
        await store.close()
        with pytest.raises(throughline.Unavailable, match="closed"):
            await store.thread("t").page()
        await store.close()
        async with throughline.open(Path(path), create=False) as again:
            assert (await again.thread("t").page()).messages[0].text == "hello"
        with pytest.raises(throughline.Unavailable):
            await again.thread("t").page()
        async with throughline.open(f"sqlite:{path}") as again, again as same:
            assert same is again

    run(main())


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(throughline.NotFound, match="`create` is false"):
            await throughline.open(tmp_path / "none.db", create=False)
        assert not (tmp_path / "none.db").exists()
        with pytest.raises(throughline.Invalid, match="no directory"):
            await throughline.open(tmp_path / "none" / "chat.db")
        (tmp_path / "other.db").write_text("hello, this is no database at all")
        with pytest.raises(throughline.ThroughlineError):
            await throughline.open(tmp_path / "other.db")
        with pytest.raises(throughline.Invalid, match="there is no store for `redis:`"):
            await throughline.open("redis://localhost")
        with pytest.raises(throughline.Invalid, match="`memory:` is the URL"):
            await throughline.open(":memory:")
        with pytest.raises(throughline.Invalid, match="empty"):
            await throughline.open("")

    run(main())


def test_one_store_for_each_path(path: str) -> None:
    async def main() -> None:
        first = await throughline.open(path)
        second = await throughline.open(os.path.join(os.path.dirname(path), ".", "chat.db"), tenant="acme")
        await first.thread("t").add("user", "hello")
        assert await second.thread("t").summary() is None
        with pytest.raises(throughline.Conflict, match="other options"):
            await throughline.open(path, search=True)
        with pytest.raises(throughline.Conflict, match="other options"):
            await throughline.open(path, layers=[layers.Serialize()])
        await first.close()
        await second.thread("t").add("user", "still open")
        await second.close()
        async with throughline.open(path, search=True) as third:
            assert len(await third.thread("t").page()) == 1
        opened = await asyncio.gather(*(throughline.open(path)._open() for _ in range(20)))
        await asyncio.gather(*(store.thread("u").add("user", "x") for store in opened))
        assert len(await opened[0].thread("u").page()) == 20
        await asyncio.gather(*(store.close() for store in opened))

    run(main())


def test_a_handle_that_is_collected_releases_the_store(path: str) -> None:
    async def main() -> None:
        await throughline.open(path)
        # The loop keeps the answer of an `await` until the turn of its task ends.
        await asyncio.sleep(0)
        async with throughline.open(path, search=True) as store:
            await store.thread("t").add("user", "x")

    run(main())


def test_memory_stores_are_apart() -> None:
    async def main() -> None:
        async with throughline.open("memory:") as one, throughline.open("memory:") as other:
            await one.thread("t").add("user", "x")
            assert await other.thread("t").summary() is None
            assert one.health() == throughline.Health(True, "writable", [])
            with pytest.raises(throughline.Unsupported):
                await one.backup("copy.db")
            with pytest.raises(throughline.Unsupported):
                one.metrics()

    run(main())


def test_options_of_a_backend(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path, options={"max_content_bytes": 1000, "readers": 2}) as store:
            with pytest.raises(throughline.TooLarge):
                await store.thread("t").add("user", "x" * 1000)
        with pytest.raises(throughline.Invalid, match="no option `writers`"):
            await throughline.open(path, options={"writers": 2})
        with pytest.raises(throughline.Invalid, match="unknown field"):
            await throughline.open(path, options={"speed": 2})  # type: ignore[typeddict-unknown-key]
        async with throughline.open(path, deadline=30) as store:
            await store.thread("t").add("user", "x")

    run(main())


def test_a_store_is_maintained_while_it_is_used(path: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with throughline.open(path) as store:
            for number in range(20):
                await store.thread("t").add("user", str(number))
            found = await store.verify()
            assert (found.is_sound, found.messages, found.threads, found.damaged) == (True, 20, 1, [])
            copy = tmp_path / "copy.db"
            backup = await store.backup(copy)
            assert (backup.path, backup.bytes) == (str(copy), copy.stat().st_size)
            async with throughline.open(copy) as other:
                assert len(await other.thread("t").page(100)) == 20
            assert await store.compact() >= 0
            assert store.health() == throughline.Health(True, "writable", [])
            assert "sqlite" in store.describe()

    run(main())


def test_blocking_callers_have_the_same_calls(url: str) -> None:
    with sync.open(url) as store:
        thread = store.thread("t")
        added = thread.add("user", "hello", key="k")
        assert thread.add("user", "hello", key="k").deduplicated
        assert thread.get(added.id) == added.message
        with thread.draft() as draft:
            draft.append("Hel")
            draft.append("lo")
        assert draft.result.state == "final"
        with pytest.raises(ZeroDivisionError), thread.draft(id="m") as draft:
            1 / 0
        assert [message.state for message in thread.messages()] == ["final", "final", "abandoned"]
        assert [message.seq for message in thread.messages_reversed()] == [3, 2, 1]
        assert [one.thread for one in store.threads().threads] == ["t"]
        assert store.for_tenant("acme").threads().threads == []
        assert [change.kind for change in store.changes(wait=False)][-1] == "abandoned"
        assert thread.take_last().message is not None
        with pytest.raises(throughline.NotFound):
            thread.update("none", {"a": 1})
        assert store.agent("a").thread("t").resolve("p").session is None
    with pytest.raises(throughline.Unavailable):
        thread.page()


def test_both_kinds_of_callers_share_a_file(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path) as store:
            with sync.open(path) as blocking:
                await store.thread("t").add("user", "one")
                blocking.thread("t").add("user", "two")
                assert [message.text for message in blocking.thread("t").messages()] == ["one", "two"]

    run(main())


def test_sessions_are_resumed_after_a_run(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            await store.thread("t").add("user", "hello")
            agent = store.agent("claude").thread("t")
            runtime = throughline.Runtime("laptop", "root-1")
            assert (await agent.resolve("anthropic", runtime=runtime)).withheld == "noSession"
            begun = await agent.begin("anthropic", runtime=runtime, lease=30)
            assert (begun.number, begun.resolution.session) == (1, None)
            with pytest.raises(throughline.Busy):
                await agent.begin("anthropic", runtime=runtime)
            assert (await agent.renew(begun.attempt)).superseded is False
            pinned = await agent.pin(begun.attempt, "session-1")
            assert (pinned.session, pinned.agent) == (None, "claude")
            confirmed = await agent.confirm(begun.attempt, session="session-1")
            assert (confirmed.agent, confirmed.thread, confirmed.session) == ("claude", "t", "session-1")
            assert (await agent.resolve("anthropic", runtime=runtime)).session == "session-1"
            assert (await agent.resolve("anthropic", runtime=throughline.Runtime("other", "r"))).withheld == "runtimeMismatch"
            failed = await agent.begin("anthropic", runtime=runtime)
            await agent.fail(failed.attempt, "network", detail="no route")
            third = await agent.begin("anthropic", runtime=runtime)
            await agent.cancel(third.attempt)
            history = await agent.history()
            assert [(run.number, run.state) for run in history] == [
                (3, "cancelled"),
                (2, "failed:network"),
                (1, "completed"),
            ]
            assert history[1].detail == "no route"
            reset = await agent.reset()
            assert reset.generation == confirmed.generation + 1
            assert (await agent.resolve("anthropic", runtime=runtime)).session is None
            await agent.retire("session-1")

    run(main())
