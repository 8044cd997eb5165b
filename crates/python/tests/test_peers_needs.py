"""Operations that other stores of conversations have: threads by creation, first values, ids saved again, finds."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import run

import throughline
from throughline import ops


def test_threads_are_listed_by_creation(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            for name in ("b", "a", "c"):
                await store.thread(name).create(title=name)
            await store.thread("b").add("user", "x")
            listed = await store.threads(order="created")
            assert [one.thread for one in listed.threads] == ["b"]
            listed = await store.threads(2, order="created", unlisted=True)
            assert [one.thread for one in listed.threads] == ["b", "a"]
            rest = await store.threads(2, order="created", unlisted=True, after=listed.next)
            assert ([one.thread for one in rest.threads], rest.next) == (["c"], None)
            newest = await store.threads(order="created_desc", unlisted=True)
            assert [one.thread for one in newest.threads] == ["c", "a", "b"]
            with pytest.raises(throughline.Invalid):
                await store.threads(order="created_desc", unlisted=True, after=listed.next)
            with pytest.raises(throughline.Invalid, match="order: 'size' is none of"):
                await store.threads(order="size")  # type: ignore[arg-type]

    run(main())


def test_the_first_value_stays(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            await thread.add("user", "x", id="m", metadata={"a": 1})
            answers = await asyncio.gather(
                *(thread.update("m", where_absent={"owner": f"worker-{number}", "a": 2}) for number in range(10))
            )
            owners = {answer.metadata["owner"] for answer in answers}
            assert len(owners) == 1
            message = await thread.get("m")
            assert message is not None and message.metadata == {"a": 1, "owner": owners.pop()}
            batch = await store.batch([ops.update("t", "m", {"a": None}, where_absent={"b": 3})])
            assert batch.outputs[0].metadata["b"] == 3 and "a" not in batch.outputs[0].metadata
            with pytest.raises(throughline.Invalid):
                await thread.update("m", where_absent={"c": None})

    run(main())


def test_ids_are_saved_again_where_the_thread_allows_it(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            created = await thread.create(reuse_ids=True)
            assert created.summary.reuses_ids
            first = await thread.add("user", "one", id="m")
            await thread.delete_message("m")
            again = await thread.add("user", "two", id="m")
            assert again.seq > first.seq and again.message.revision > first.message.revision
            assert [message.text async for message in thread.messages()] == ["two"]
            other = await store.thread("u").create()
            assert not other.summary.reuses_ids

    run(main())


@pytest.mark.parametrize("is_file", [True, False])
def test_messages_are_found_by_metadata(is_file: bool, tmp_path: Path) -> None:
    async def main() -> None:
        url = str(tmp_path / "chat.db") if is_file else "memory:"
        async with throughline.open(url, options={"indexed_metadata": ["order", "n"]}) as store:
            values: list[Any] = ["A-1", "A-2", "A-1", 7, True]
            for number, value in enumerate(values):
                await store.thread(f"t-{number % 2}").add("user", str(number), metadata={"order": value, "other": 1})
            found = await store.find("order", "A-1")
            assert [message.text for message in found.messages] == ["2", "0"]
            assert (found.next, found.damaged) == (None, [])
            page = await store.find("order", "A-1", 1, order="oldest")
            assert [message.text for message in page.messages] == ["0"]
            page = await store.find("order", "A-1", 1, order="oldest", after=page.next)
            assert [message.text for message in page.messages] == ["2"]
            assert [message.text for message in (await store.find("order", 7)).messages] == ["3"]
            assert [message.text for message in (await store.find("order", True)).messages] == ["4"]
            assert [message.text for message in (await store.thread("t-1").find("order", "A-2")).messages] == ["1"]
            assert (await store.thread("t-0").find("order", "A-2")).messages == []
            with pytest.raises(throughline.Unsupported):
                await store.find("other", 1)
            # A message is never cut: the first one is returned whatever its size.
            short = await store.find("order", "A-1", max_bytes=1)
            assert [message.text for message in short.messages] == ["2"]
            rest = await store.find("order", "A-1", after=short.next, max_bytes=1 << 20)
            assert ([message.text for message in rest.messages], rest.next) == (["0"], None)
            of_thread = await store.thread("t-0").find("order", "A-1", max_bytes=1)
            assert ([message.text for message in of_thread.messages], of_thread.next is None) == (["2"], False)

    run(main())


def test_a_find_names_a_damaged_message(path: str) -> None:
    async def main() -> None:
        options = {"indexed_metadata": ["order"]}
        async with throughline.open(path, options=options) as store:
            for id in ("m", "n"):
                await store.thread("t").add("user", id, id=id, metadata={"order": "A"})
        with closing(sqlite3.connect(path)) as raw, raw:
            raw.execute("UPDATE messages SET content = '[\"broken\"' WHERE seq = 1")
        async with throughline.open(path, options=options) as store:
            found = await store.find("order", "A")
            assert ([message.id for message in found.messages], len(found)) == (["n"], 1)
            page = await store.thread("t").page()
            for damaged in (found.damaged, page.damaged):
                assert [(one.id, one.seq) for one in damaged] == [("m", 1)]
            assert found.damaged[0].detail == page.damaged[0].detail

    run(main())
