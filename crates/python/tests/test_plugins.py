"""Layers that are written in Python."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from conftest import run

import throughline
from throughline import Call, Next, Plugin, Reply, layers, sync


class Seen(Plugin):
    name = "seen"

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    async def around(self, call: Call, next: Next) -> Reply:
        reply = await next(call)
        self.calls.append((call.kind, call.tenant, call.thread, call.message, call.actor, call.call_site, call.key))
        return reply


def test_a_plugin_sees_each_call() -> None:
    async def main() -> None:
        seen = Seen()
        async with throughline.open("memory:", tenant="acme", layers=[seen]) as store:
            thread = store.with_actor("alice").with_call_site("web").thread("t")
            added = await thread.add("user", b'[{"n":1.10,"n":2}]', id="m", key="k")
            assert added.message.content_json == b'[{"n":1.10,"n":2}]'
            page = await thread.page()
            assert page.messages[0].content_json == b'[{"n":1.10,"n":2}]'
            assert seen.calls == [
                ("add", "acme", "t", "m", "alice", "web", "k"),
                ("read", "acme", "t", None, "alice", "web", None),
            ]
            assert "seen" in store.describe()

    run(main())


class Shout(Plugin):
    name = "shout"
    phase = "transform"

    async def around(self, call: Call, next: Next) -> Reply:
        if call.kind == "add":
            text = call.args["content"][0]["text"].upper()
            call = call.with_args({**call.args, "content": [{"type": "text", "text": text}]})
        return await next(call)


def test_a_plugin_changes_what_is_stored() -> None:
    async def main() -> None:
        async with throughline.open("memory:", layers=[Shout()]) as store:
            added = await store.thread("t").add("user", "hello")
            assert added.message.text == "HELLO"
            assert (await store.thread("t").page()).messages[0].text == "HELLO"

    run(main())


class Raises(Plugin):
    name = "raises"

    def __init__(self, error: BaseException, after: bool = False) -> None:
        self.error = error
        self.after = after

    async def around(self, call: Call, next: Next) -> Reply:
        if self.after:
            await next(call)
        raise self.error


@pytest.mark.parametrize("after", [False, True])
def test_an_exception_is_attributed(after: bool) -> None:
    async def main() -> None:
        error = KeyError("own")
        async with throughline.open("memory:", layers=[Raises(error, after)]) as store:
            with pytest.raises(throughline.Internal) as raised:
                await store.thread("t").add("user", "a secret")
            assert (raised.value.site, raised.value.code) == ("raises", "internal")
            assert raised.value.effect == ("applied" if after else "notApplied")
            assert raised.value.__cause__ is error
            assert "KeyError" in str(raised.value) and "own" not in str(raised.value)

    run(main())


def test_an_own_error_keeps_its_kind() -> None:
    async def main() -> None:
        async with throughline.open("memory:", layers=[Raises(throughline.Denied("not today"))]) as store:
            with pytest.raises(throughline.Denied, match="not today") as raised:
                await store.thread("t").add("user", "x")
            assert (raised.value.site, raised.value.effect) == ("raises", "notApplied")

    run(main())


class Careful(Plugin):
    name = "careful"

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def around(self, call: Call, next: Next) -> Reply:
        try:
            return await next(call)
        except throughline.ThroughlineError as error:
            self.seen.append(error.code)
            raise


def test_an_error_that_passes_stays_what_it_was() -> None:
    async def main() -> None:
        careful = Careful()
        async with throughline.open("memory:", layers=[careful]) as store:
            with pytest.raises(throughline.NotFound) as raised:
                await store.thread("t").update("none", {"a": 1})
            assert (raised.value.site, raised.value.message) == ("memory", "none")
            assert careful.seen == ["not_found"]

    run(main())


class Slow(Plugin):
    name = "slow"

    def __init__(self) -> None:
        self.cancelled = 0
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()

    async def around(self, call: Call, next: Next) -> Reply:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        return await next(call)


def test_a_slow_hook_holds_up_no_other_call() -> None:
    async def main() -> None:
        slow = Slow()
        async with throughline.open("memory:", layers=[slow]) as store:
            calls = [asyncio.create_task(store.thread(f"t-{number}").add("user", "x")) for number in range(50)]
            while slow.running < 50:
                await asyncio.sleep(0)
            slow.go.set()
            assert len(await asyncio.gather(*calls)) == 50
            assert slow.most == 50

    run(main())


def test_a_deadline_ends_a_hook_that_hangs() -> None:
    async def main() -> None:
        slow = Slow()
        async with throughline.open("memory:", layers=[slow]) as store:
            with pytest.raises(throughline.TimedOut) as raised:
                await store.thread("t").add("user", "x", deadline=0.02)
            assert (raised.value.site, raised.value.effect) == ("slow", "notApplied")
            while slow.running:
                await asyncio.sleep(0)
            assert slow.cancelled == 1
            slow.go.set()
            assert await store.thread("t").summary() is None

    run(main())


class Bad(Plugin):
    name = "bad"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def around(self, call: Call, next: Next) -> Reply:
        if self.answer == "twice":
            await next(call)
            return await next(call)
        return self.answer  # type: ignore[no-any-return]


def test_a_bad_answer_is_a_failure_of_the_plugin() -> None:
    async def main() -> None:
        for answer, kind in (
            (None, throughline.Internal),
            (Reply(b"{"), throughline.ContractViolation),
            (Reply(b'{"delete":{}}'), throughline.ContractViolation),
            ("twice", throughline.Internal),
        ):
            async with throughline.open("memory:", layers=[Bad(answer)]) as store:
                with pytest.raises(kind) as raised:
                    await store.thread("t").add("user", "x")
                assert raised.value.site == "bad"

    run(main())


def test_plugins_stand_by_phase_and_name() -> None:
    async def main() -> None:
        async with throughline.open("memory:", layers=[Shout(), layers.Serialize(), Seen()]) as store:
            order = [line.split()[0] for line in store.describe().splitlines() if line.strip()]
            assert order[:3] == ["serialize", "seen", "shout"]
        with pytest.raises(throughline.Invalid, match="seen"):
            await throughline.open("memory:", layers=[Seen(), Seen()])
        with pytest.raises(throughline.Invalid, match="needs a name"):
            throughline.open("memory:", layers=[Plugin()])

    run(main())


def test_blocking_callers_have_plugins() -> None:
    seen = Seen()
    with sync.open("memory:", layers=[seen]) as store:
        store.thread("t").add("user", "hello")
        assert [call[0] for call in seen.calls] == ["add"]
        with pytest.raises(throughline.NotFound):
            store.thread("t").update("none", {})


def test_a_store_with_plugins_is_not_shared(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path, layers=[Seen()]):
            with pytest.raises(throughline.Conflict, match="plugins"):
                await throughline.open(path)

    run(main())


def test_a_hook_of_a_closed_loop_is_unavailable() -> None:
    async def first() -> throughline.Store:
        return await throughline.open("memory:", layers=[Seen()])

    store = run(first())

    async def second() -> None:
        with pytest.raises(throughline.Unavailable, match="closed"):
            await store.thread("t").add("user", "x")
        with contextlib.suppress(throughline.ThroughlineError):
            await store.close()

    run(second())


def test_a_plugin_that_ends_the_interpreter_fails_only_its_call() -> None:
    class Ends(Plugin):
        name = "ends"

        async def around(self, call: Call, next: Next) -> Reply:
            if call.thread == "bad":
                raise SystemExit(3)
            return await next(call)

    with sync.open("memory:", layers=[Ends()]) as store:
        store.thread("good").add("user", "before")
        with pytest.raises(throughline.Internal, match="SystemExit"):
            store.thread("bad").add("user", "x")
        store.thread("good").add("user", "after", deadline=30)
        assert [message.text for message in store.thread("good").messages()] == ["before", "after"]
    with sync.open("memory:", layers=[Ends()]) as other:
        other.thread("good").add("user", "x", deadline=30)
