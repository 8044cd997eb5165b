"""Drafts: streamed messages."""

from __future__ import annotations

import asyncio

import pytest
from conftest import run

import throughline


def test_a_block_that_ends_makes_the_message_final(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            async with thread.draft(id="m", metadata={"a": 1}) as draft:
                assert (draft.id, draft.message.state, draft.deduplicated) == ("m", "reserved", False)
                assert draft.committed.bytes == 0
                for text in ("Hel", "lo", "!"):
                    await draft.append(text)
                flushed = await draft.flush()
                assert flushed.bytes == 6 == draft.committed.bytes
                await draft.append([{"type": "image", "url": "x"}])
            assert (draft.result.state, draft.result.id) == ("final", "m")
            message = await thread.get("m")
            assert message is not None
            assert message.content == [{"type": "text", "text": "Hello!"}, {"type": "image", "url": "x"}]

    run(main())


def test_a_block_that_raises_abandons_the_message(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            with pytest.raises(ZeroDivisionError):
                async with thread.draft(id="m") as draft:
                    await draft.append("Hel")
                    1 / 0
            message = await thread.get("m")
            assert message is not None
            assert (message.state, message.text, message.abandon_reason) == ("abandoned", "Hel", "ZeroDivisionError")

    run(main())


@pytest.mark.parametrize("again", [False, True])
def test_a_cancelled_block_abandons_the_message(url: str, again: bool) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            is_open = asyncio.Event()

            async def write() -> None:
                async with thread.draft(id="m") as draft:
                    await draft.append("Hel")
                    is_open.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(write())
            await is_open.wait()
            task.cancel()
            if again:
                await asyncio.sleep(0)
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            message = await thread.get("m")
            assert message is not None
            assert (message.state, message.text, message.abandon_reason) == ("abandoned", "Hel", "CancelledError")

    run(main())


def test_a_draft_is_used_without_a_block(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            draft = thread.draft("assistant", key="k")
            with pytest.raises(throughline.Invalid, match="not open"):
                await draft.append("x")
            await draft.start()
            with pytest.raises(throughline.Invalid, match="not ended"):
                _ = draft.result
            await draft.replace("Hello")
            assert (await draft.finish()).state == "final"
            with pytest.raises(throughline.Stale):
                await draft.append("late")
            again = await thread.draft("assistant", key="k").start()
            assert again.deduplicated and again.id == draft.id
            async with thread.draft() as ended:
                await ended.append("x")
                await ended.abandon("own end")
            assert ended.result.state == "abandoned"

    run(main())


def test_a_cancelled_start_leaves_no_open_message(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            for number in range(50):
                task = asyncio.create_task(thread.draft(id=f"m-{number}").start())
                await asyncio.sleep(0)
                if not task.cancel():
                    await (await task).abandon("it had started")
                await asyncio.gather(task, return_exceptions=True)
            while any(message.state == "reserved" for message in (await thread.page(100)).messages):
                await asyncio.sleep(0.01)

    run(main())


def test_expired_drafts_are_recovered(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            await store.run(
                b'{"reserve":{"thread":"t","id":"m","role":"assistant","lease":1000}}',
            )
            assert (await store.recover_expired_drafts()).abandoned == []
            recovered = await store.recover_expired_drafts("gone")
            while not recovered.abandoned:
                await asyncio.sleep(0.05)
                recovered = await store.recover_expired_drafts("gone")
            assert (recovered.abandoned, recovered.failed) == ([("t", "m")], [])
            message = await thread.get("m")
            assert message is not None and message.abandon_reason == "gone"

    run(main())
