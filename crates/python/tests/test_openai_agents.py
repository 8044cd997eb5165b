"""Sessions of the OpenAI Agents SDK: items in one transaction, cancelled tasks, other processes, damaged messages."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents")

import throughline  # noqa: E402
from agents import Agent, OpenAIResponsesCompactionSession, RunConfig, Runner, Session, SessionSettings  # noqa: E402
from agents.testing import ScriptedModel  # noqa: E402
from openai.types.responses import ResponseOutputMessage, ResponseOutputText  # noqa: E402
from throughline.adapters.openai_agents import ThroughlineSession  # noqa: E402

BACKEND = os.environ.get("THROUGHLINE_SUITE_BACKEND", "sqlite")

NO_TRACES = RunConfig(tracing_disabled=True)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def opening(folder: Path, **options: Any) -> Any:
    """Opens an empty store of the backend of this run."""
    if BACKEND == "postgres":
        return throughline.open(os.environ["THROUGHLINE_POSTGRES_URL"], tenant=f"t-{uuid.uuid4()}", **options)
    return throughline.open("memory:" if BACKEND == "memory" else folder / "sessions.db", **options)


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def answer(text: str) -> ResponseOutputMessage:
    content = ResponseOutputText(text=text, type="output_text", annotations=[], logprobs=[])
    return ResponseOutputMessage(id="1", type="message", role="assistant", content=[content], status="completed")


class Pause(throughline.Plugin):
    """Stops the calls of one kind, before the store or after it, until it is opened. With an error, the call fails then."""

    name = "pause"

    def __init__(self, kind: str, *, after: bool = False, error: Exception | None = None) -> None:
        self.kind = kind
        self.after = after
        self.error = error
        self.reached = threading.Event()
        self.open = threading.Event()

    async def around(self, call: throughline.Call, next: Any) -> throughline.Reply:
        if call.kind != self.kind:
            reply: throughline.Reply = await next(call)
            return reply
        reply = await next(call) if self.after else None  # type: ignore[assignment]
        self.reached.set()
        await asyncio.to_thread(self.open.wait)
        if self.error is not None:
            raise self.error
        return reply if self.after else await next(call)


@in_loop
async def test_it_is_a_session_of_the_sdk(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("user-42", store)
        assert isinstance(session, Session)
        assert session.session_id == "user-42"
        assert session.session_settings == SessionSettings()


@in_loop
async def test_the_runner_continues_the_conversation(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        model = ScriptedModel([[answer("Lisbon")], [answer("08:15")]])
        agent = Agent(name="a", model=model)
        await Runner.run(agent, "Where to?", session=ThroughlineSession("s", store), run_config=NO_TRACES)
        result = await Runner.run(agent, "When?", session=ThroughlineSession("s", store), run_config=NO_TRACES)
        assert result.final_output == "08:15"
        seen = model.calls[-1].input
        assert [item["role"] for item in seen] == ["user", "assistant", "user"]
        assert (seen[0]["content"], seen[2]["content"]) == ("Where to?", "When?")
        assert seen[1]["content"][0]["text"] == "Lisbon"
        page = await store.thread("s").page(10)
        contents = [message.content[0] for message in page.messages]
        assert [one if isinstance(one, str) else one["text"] for one in contents] == ["Where to?", "Lisbon", "When?", "08:15"]


@in_loop
async def test_items_come_back_with_their_members_in_order(tmp_path: Path) -> None:
    items: list[Any] = [
        {"content": "café 🦀 \ud800", "role": "user"},
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "…"},
        {"id": "fc", "type": "function_call", "name": "f", "arguments": '{"n": 1.10}', "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]},
        {"__enc__": 1, "v": 1, "kid": "k", "payload": "p"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "t", "annotations": []}], "id": "m"},
    ]
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        await session.add_items(items)
        assert json.dumps(await session.get_items()) == json.dumps(items)
        popped = [await session.pop_item() for _ in items]
        assert json.dumps(popped) == json.dumps(items[::-1])
        assert await session.pop_item() is None


@in_loop
async def test_many_items_are_one_commit(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        await session.add_items([user("before")])
        seen: set[int] = set()
        done = False

        async def read() -> None:
            while not done:
                seen.add(len(await ThroughlineSession("s", store).get_items()))
                await asyncio.sleep(0)  # A read of a store in memory can complete without a turn of the loop.

        reader = asyncio.create_task(read())
        await session.add_items([user(str(number)) for number in range(400)])
        done = True
        await reader
        assert seen <= {1, 401}
        assert len(await session.get_items()) == 401


@in_loop
async def test_an_item_that_is_not_json_adds_nothing(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        with pytest.raises(TypeError):
            await session.add_items([user("1"), user(object())])  # type: ignore[arg-type]
        assert await session.get_items() == []
        assert await store.thread("s").summary() is None
        await session.add_items([user("2")])
        assert await session.get_items() == [user("2")]


@in_loop
async def test_limits_are_those_of_the_call_or_of_the_settings(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        items = [user(str(number)) for number in range(1_203)]
        await ThroughlineSession("s", store).add_items(items)
        session = ThroughlineSession("s", store, session_settings={"limit": 3})
        assert session.session_settings == SessionSettings(limit=3)
        assert await session.get_items() == items[-3:]
        assert await session.get_items(2) == items[-2:]
        assert await session.get_items(0) == []
        assert await session.get_items(-1) == items
        assert await session.get_items(1_100) == items[-1_100:]
        session.session_settings = None
        assert await session.get_items() == items
        with pytest.raises(TypeError, match="limitt"):
            ThroughlineSession("s", store, session_settings={"limitt": 3})


@pytest.mark.parametrize("session_id", ["", "a\x00b", "x" * 256, "é" * 128, "\udc80", "$ne", "会話-123"])
@in_loop
async def test_any_string_is_the_id_of_a_session(tmp_path: Path, session_id: str) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession(session_id, store)
        await session.add_items([user("1")])
        assert await ThroughlineSession(session_id, store).get_items() == [user("1")]
        assert await ThroughlineSession(session_id + "x", store).get_items() == []
        assert session.session_id == session_id
        with pytest.raises(TypeError, match="session_id must be a string"):
            ThroughlineSession(7, store)  # type: ignore[arg-type]


@in_loop
async def test_concurrent_pops_return_each_item_once(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        items = [user(str(number)) for number in range(50)]
        await ThroughlineSession("s", store).add_items(items)
        popped = await asyncio.gather(*(ThroughlineSession("s", store).pop_item() for _ in range(64)))
        texts = sorted(int(item["content"]) for item in popped if item is not None)
        assert texts == list(range(50))
        assert popped.count(None) == 14
        assert await ThroughlineSession("s", store).get_items() == []


@in_loop
async def test_concurrent_sessions_do_not_mix(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:

        async def converse(number: int) -> None:
            session = ThroughlineSession(f"s-{number}", store)
            for turn in range(5):
                await session.add_items([user(f"{number}/{turn}"), user(f"{number}/{turn}+")])
            await session.pop_item()

        await asyncio.gather(*(converse(number) for number in range(40)))
        for number in range(40):
            texts = [item["content"] for item in await ThroughlineSession(f"s-{number}", store).get_items()]
            expected = [f"{number}/{turn}{end}" for turn in range(5) for end in ("", "+")]
            assert texts == expected[:-1]


@in_loop
async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        one, two = (ThroughlineSession("s", store.for_tenant(f"{name}-{uuid.uuid4()}")) for name in ("one", "two"))
        await one.add_items([user("1")])
        assert await two.get_items() == []
        await two.clear_session()
        assert await one.get_items() == [user("1")]


@in_loop
async def test_a_clear_deletes_all_items_and_the_session_goes_on(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        await session.clear_session()  # of a session without an item
        await session.add_items([user("1"), user("2")])
        await session.clear_session()
        assert await session.get_items() == []
        assert await session.pop_item() is None
        await session.add_items([user("3")])
        assert await session.get_items() == [user("3")]
        summary = await store.thread("s").summary()
        assert (summary.messages, summary.generation) == (1, 2)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-commit", "after-the-commit"])
@pytest.mark.parametrize("operation", ["add", "pop", "clear"])
@in_loop
async def test_a_cancelled_task_waits_for_the_outcome_of_its_write(tmp_path: Path, operation: str, after: bool) -> None:
    pause = Pause("add" if operation == "add" else "thread", after=after)
    async with opening(tmp_path, layers=[pause]) as store:
        session = ThroughlineSession("s", store)
        if operation != "add":
            await session.add_items([user("kept"), user("last")][: 2 if operation == "pop" else 1])
        calls = {"add": lambda: session.add_items([user("once")]), "pop": session.pop_item, "clear": session.clear_session}
        task = asyncio.create_task(calls[operation]())
        assert await asyncio.to_thread(pause.reached.wait, 30)
        task.cancel("first")
        await asyncio.sleep(0)
        task.cancel("second")
        await asyncio.sleep(0)
        assert not task.done()
        pause.open.set()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert sys.version_info < (3, 11) or cancelled.value.args == ("first",)
        expected = {"add": [user("once")], "pop": [user("kept")], "clear": []}
        assert await session.get_items() == expected[operation]


@in_loop
async def test_a_call_of_a_session_starts_no_task(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        tasks: list[Any] = []

        def counted(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
            tasks.append(coroutine)
            return asyncio.Task(coroutine, loop=loop, **options)

        asyncio.get_running_loop().set_task_factory(counted)
        await session.add_items([user("1")])
        await session.add_items([user("2"), user("3")])
        assert await session.get_items(2) == [user("2"), user("3")]
        assert await session.pop_item() == user("3")
        await session.clear_session()
        assert tasks == []


@in_loop
async def test_a_cancelled_task_waits_for_a_write_without_layers(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        await session.add_items([user("0")])
        for number in range(1, 51):
            task = asyncio.create_task(session.add_items([user(str(number))]))
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            # The outcome is there when the task has ended: no later write was needed to see it.
            assert await session.get_items() == [user(str(one)) for one in range(number + 1)]


@in_loop
async def test_a_cancellation_hides_a_later_failure_without_an_error_of_the_loop(tmp_path: Path) -> None:
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    pause = Pause("batch", error=throughline.Unavailable("on purpose"))
    async with opening(tmp_path, layers=[pause]) as store:
        session = ThroughlineSession("s", store)
        task = asyncio.create_task(session.add_items([user("1"), user("2")]))
        assert await asyncio.to_thread(pause.reached.wait, 30)
        task.cancel()
        pause.open.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        del task
        gc.collect()
        await asyncio.sleep(0)
        assert errors == []
        assert await session.get_items() == []


@in_loop
async def test_a_failed_write_leaves_the_session_usable(tmp_path: Path) -> None:
    class Refusing(throughline.Plugin):
        name = "refusing"
        refuses = False

        async def around(self, call: throughline.Call, next: Any) -> throughline.Reply:
            if self.refuses and call.kind != "read":
                raise throughline.Unavailable("on purpose")
            reply: throughline.Reply = await next(call)
            return reply

    layer = Refusing()
    async with opening(tmp_path, layers=[layer]) as store:
        session = ThroughlineSession("s", store)
        await session.add_items([user("1")])
        layer.refuses = True
        for call in (session.add_items([user("2")]), session.pop_item(), session.clear_session()):
            with pytest.raises(throughline.Unavailable, match="on purpose"):
                await call
        layer.refuses = False
        assert await session.get_items() == [user("1")]
        await session.add_items([user("3")])
        assert await session.get_items() == [user("1"), user("3")]


@in_loop
async def test_a_message_that_is_being_written_is_no_item(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        await session.add_items([user("1")])
        async with store.thread("s").draft() as draft:
            await draft.append("2")
            assert await session.get_items() == [user("1")]
        assert [item["content"] for item in await session.get_items()] == [
            "1",
            [{"type": "output_text", "text": "2", "annotations": []}],
        ]


@pytest.mark.skipif(BACKEND != "sqlite", reason="the damage is done to a file")
@in_loop
async def test_a_damaged_message_is_left_out_and_not_popped(tmp_path: Path, caplog: Any) -> None:
    file = tmp_path / "a.db"
    async with throughline.open(file) as store:
        await ThroughlineSession("s", store).add_items([user(str(number)) for number in range(1, 5)])
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE messages SET content = '[\"broken\"' WHERE seq = 4")
    async with throughline.open(file) as store:
        session = ThroughlineSession("s", store)
        assert await session.get_items() == [user("1"), user("2"), user("3")]
        assert await session.get_items(2) == [user("2"), user("3")]
        assert "is left out: the stored message of seq 4 is damaged" in caplog.text
        # Nothing that the store cannot show is deleted.
        with pytest.raises(throughline.Corrupt):
            await session.pop_item()
        assert len(await session.get_items()) == 3


@in_loop
async def test_items_are_in_the_order_of_their_calls_whatever_their_times(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        now = datetime(2026, 1, 1, tzinfo=timezone.utc)
        times = [now, now, now - timedelta(days=1), now]
        await store.batch(
            [
                throughline.ops.add("s", "user", [text], created_at=time, metadata={"openai": {"role": "user", "content": "text"}})
                for text, time in zip("abcd", times)
            ]
        )
        session = ThroughlineSession("s", store)
        assert [item["content"] for item in await session.get_items()] == ["a", "b", "c", "d"]
        assert [item["content"] for item in await session.get_items(2)] == ["c", "d"]
        assert await session.pop_item() == {"role": "user", "content": "d"}


@in_loop
async def test_a_closed_session_refuses_every_call(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        await session.add_items([user("1")])
        await session.close()
        await session.close()
        calls = (session.get_items(), session.add_items([]), session.add_items([user("2")]))
        for call in (*calls, session.pop_item(), session.clear_session()):
            with pytest.raises(RuntimeError, match="ThroughlineSession is closed"):
                await call
        # The store belongs to the host.
        assert await ThroughlineSession("s", store).get_items() == [user("1")]


@pytest.mark.skipif(BACKEND != "sqlite", reason="a location is that of a file")
@in_loop
async def test_a_session_opens_and_closes_the_store_at_a_location(tmp_path: Path) -> None:
    session = ThroughlineSession("s", tmp_path / "a.db")
    other = ThroughlineSession("s", str(tmp_path / "a.db"))
    await asyncio.gather(session.add_items([user("1")]), other.get_items())
    await session.close()
    assert await other.get_items() == [user("1")]
    await other.close()
    reopened = ThroughlineSession("s", tmp_path / "a.db")
    assert await reopened.get_items() == [user("1")]
    await reopened.close()


@pytest.mark.skipif(BACKEND != "sqlite", reason="the other processes open the same file")
def test_processes_pop_each_item_once(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    items = [user(str(number)) for number in range(30)]

    async def write() -> None:
        async with throughline.open(file) as store:
            await ThroughlineSession("s", store).add_items(items)

    asyncio.run(write())
    program = """
import asyncio, json, sys
from throughline.adapters.openai_agents import ThroughlineSession

async def main():
    session = ThroughlineSession("s", sys.argv[1])
    await session.get_items()
    print("ready", flush=True)
    sys.stdin.readline()
    popped = [await session.pop_item() for _ in range(20)]
    await session.close()
    print(json.dumps([item["content"] for item in popped if item is not None]))

asyncio.run(main())
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    popped = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(map(int, popped[0] + popped[1])) == list(range(30))


def test_one_session_is_used_from_several_event_loops(tmp_path: Path) -> None:
    async def open_store() -> throughline.Store:
        store: throughline.Store = await opening(tmp_path)
        return store

    store = asyncio.run(open_store())
    session = ThroughlineSession("s", store)
    barrier = threading.Barrier(3)

    def use(number: int) -> None:
        async def main() -> None:
            barrier.wait(30)
            for turn in range(20):
                await session.add_items([user(f"{number}/{turn}")])

        asyncio.run(main())

    threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    texts = [item["content"] for item in asyncio.run(session.get_items())]
    assert sorted(texts) == sorted(f"{number}/{turn}" for number in range(3) for turn in range(20))
    for number in range(3):
        assert [text for text in texts if text.startswith(f"{number}/")] == [f"{number}/{turn}" for turn in range(20)]
    asyncio.run(store.close())


async def compaction(session: ThroughlineSession, store: throughline.Store, before: Callable[[], Any]) -> Any:
    """Replaces the items after the first one as the compaction of the SDK does, with a call between read and write."""
    snapshot = await session._get_compaction_snapshot(2)
    assert ([item["content"] for item in snapshot.items], snapshot.complete) == (["2", "3"], False)
    await before()
    return await snapshot.replace_suffix(0, [user("summary")])


@in_loop
async def test_a_compaction_replaces_the_last_items_in_one_transaction(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:

        async def nothing() -> None:
            pass

        for change, is_replaced, texts in (
            (lambda session: nothing(), True, ["1", "summary"]),
            (lambda session: session.add_items([user("4")]), False, ["1", "2", "3", "4"]),
            (lambda session: session.pop_item(), False, ["1", "2"]),
            (lambda session: session.clear_session(), False, []),
        ):
            session = ThroughlineSession(f"s-{texts}", store)
            await session.add_items([user("1"), user("2"), user("3")])
            assert await compaction(session, store, lambda: change(session)) is is_replaced  # noqa: B023
            assert [item["content"] for item in await session.get_items()] == texts


@in_loop
async def test_a_compaction_deletes_the_expired_items_before_it(tmp_path: Path) -> None:
    async with opening(tmp_path) as store:
        session = ThroughlineSession("s", store)
        await session.add_items([user(text) for text in ("old 1", "old 2", "3", "old 4", "5")])
        snapshot = await session._get_compaction_snapshot(
            1, prune_prefix=lambda item: item["content"].startswith("old")  # type: ignore[index, union-attr]
        )
        assert await snapshot.replace_suffix(0, [user("summary")])
        assert [item["content"] for item in await session.get_items()] == ["3", "old 4", "summary"]


@in_loop
async def test_a_subclass_that_changes_items_has_no_snapshot(tmp_path: Path) -> None:
    class Shouting(ThroughlineSession):
        async def get_items(self, limit: int | None = None) -> Any:
            return [user(item["content"].upper()) for item in await super().get_items(limit)]  # type: ignore[typeddict-item]

    async with opening(tmp_path) as store:
        session = Shouting("s", store)
        await session.add_items([user("a")])
        assert await session.get_items() == [user("A")]
        assert await session._get_compaction_snapshot(1) is None
        assert OpenAIResponsesCompactionSession("s", session, client=object()).underlying_session is session  # type: ignore[arg-type]
