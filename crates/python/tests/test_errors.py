"""Exceptions: one class for each code, with the facts of the error."""

from __future__ import annotations

import pickle

import pytest
from conftest import run

import throughline
from throughline import errors, layers


def test_every_code_of_the_library_has_a_class() -> None:
    codes = {
        "not_found", "already_exists", "gone", "conflict", "stale", "too_old", "invalid", "too_large", "denied",
        "not_primary", "unsupported", "overloaded", "busy", "timeout", "unavailable", "storage_full", "corrupt",
        "cancelled", "panicked", "contract_violation", "internal", "forked",
    }  # fmt: skip
    assert set(errors.BY_CODE) == codes
    for code, kind in errors.BY_CODE.items():
        assert kind.code == code
        assert issubclass(kind, throughline.ThroughlineError)
        assert getattr(throughline, kind.__name__) is kind
        assert kind.__doc__


@pytest.mark.parametrize("code", [code for code in errors.BY_CODE if code != "forked"])
def test_every_kind_is_raised_as_its_class(code: str) -> None:
    async def main() -> None:
        fault = layers.Fault("f", "before", error=code)
        async with throughline.open("memory:", layers=[layers.Chaos(1, [fault])]) as store:
            with pytest.raises(throughline.ThroughlineError) as raised:
                await store.thread("t").add("user", "hello", id="m", key="k")
            error = raised.value
            assert type(error) is errors.BY_CODE[code]
            assert (error.code, error.effect, error.site) == (code, "notApplied", "chaos")
            assert (error.operation, error.thread, error.message, error.key) == ("add", "t", "m", "k")
            assert error.is_transient is (code in ("overloaded", "busy", "timeout", "unavailable"))
            assert (error.attempts, error.batch_index) == (1, None)

    run(main())


def test_a_missing_message_has_every_fact(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            with pytest.raises(throughline.NotFound) as raised:
                await store.thread("t").update("none", {"a": 1}, key="k")
            error = raised.value
            assert isinstance(error, LookupError)
            assert (error.code, error.effect, error.key) == ("not_found", "notApplied", "k")
            assert error.site == ("memory" if url == "memory:" else "sqlite")
            assert (error.operation, error.thread, error.message) == ("update", "t", "none")
            assert error.retry_after is None
            assert "none" in str(error)
            copy = pickle.loads(pickle.dumps(error))
            assert type(copy) is throughline.NotFound
            assert (copy.args, copy.__dict__) == (error.args, error.__dict__)

    run(main())


def test_a_deadline_that_passed_is_a_timeout(url: str) -> None:
    async def main() -> None:
        hang = layers.Fault("h", "hang")
        async with throughline.open(url, layers=[layers.Chaos(1, [hang])]) as store:
            with pytest.raises(TimeoutError) as raised:
                await store.thread("t").add("user", "hello", key="k", deadline=0.01)
            error = raised.value
            assert isinstance(error, throughline.TimedOut)
            assert (error.code, error.key, error.effect, error.is_transient) == ("timeout", "k", "notApplied", True)
            with pytest.raises(throughline.TimedOut):
                await store.with_deadline(0.01).thread("t").page()

    run(main())


def test_an_unknown_outcome_says_so(url: str) -> None:
    async def main() -> None:
        lost = layers.Fault("l", "lost_answer", error="unavailable", nth=1)
        async with throughline.open(url, layers=[layers.Chaos(1, [lost])]) as store:
            thread = store.thread("t")
            with pytest.raises(throughline.Unavailable) as raised:
                await thread.add("user", "hello", key="k")
            assert (raised.value.effect, raised.value.is_transient) == ("unknown", True)
            assert (await thread.add("user", "hello", key="k")).deduplicated

    run(main())


@pytest.mark.parametrize("id", ["", "x" * 256, "a\nb"])
def test_a_bad_id_is_invalid(url: str, id: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            for call in (
                store.thread(id).add("user", "x"),
                store.thread("t").add("user", "x", id=id),
                store.thread("t").add("user", "x", key=id),
                store.thread(id).page(),
                store.thread("t").get(id),
                store.thread(id).summary(),
            ):
                with pytest.raises(throughline.Invalid) as raised:
                    await call
                assert raised.value.effect == "notApplied"
            with pytest.raises(throughline.Invalid):
                store.for_tenant(id)

    run(main())


def test_wrong_arguments_are_refused(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            with pytest.raises(throughline.Invalid, match='"robot" is no role'):
                await thread.add("robot", "x")  # type: ignore[arg-type]
            with pytest.raises(throughline.Invalid, match="visibility"):
                await thread.page(visibility="some")  # type: ignore[arg-type]
            with pytest.raises(throughline.Invalid, match="seconds"):
                await thread.add("user", "x", deadline=-1)
            with pytest.raises(TypeError):
                await thread.add(3, "x")  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="argument 'limit'"):
                await thread.page("3")  # type: ignore[arg-type]
            for call, detail in (
                (lambda: thread.page(2**40), "limit: 1099511627776 is not between 0 and 4294967295"),
                (lambda: thread.page(-1), "limit: -1 is not between 0 and 4294967295"),
                (lambda: thread.page(after=-1), "after: -1 is not between 0 and 18446744073709551615"),
                (lambda: thread.page(before=-2), "before: -2 is not between"),
                (lambda: thread.page(max_bytes=-3), "max_bytes: -3 is not between"),
                (lambda: thread.add("user", "x", after=-4), "after: -4 is not between"),
                (lambda: thread.draft(after=-5).__aenter__(), "after: -5 is not between"),
                (lambda: thread.draft(flush_bytes=-6).__aenter__(), "flush_bytes: -6 is not between"),
            ):
                with pytest.raises(throughline.Invalid) as raised:
                    await call()
                assert detail in str(raised.value) and raised.value.effect == "notApplied"
            with pytest.raises(throughline.Invalid, match="after: -7 is not between"):
                thread.changes(-7)

    run(main())
