"""The layers of the framework, by keyword."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from conftest import run

import throughline
from throughline import layers, sync

KEY = bytes(range(32))


def test_every_layer_is_in_one_pipeline(path: str) -> None:
    async def main() -> None:
        stack: list[layers.Layer] = [
            layers.Retry(attempts=2, backoff=(0.001, 0.01), budget=(10, 5)),
            layers.Timeout(5),
            layers.Encrypt(KEY, old_keys={"key-0": bytes(32)}),
            layers.Redact(patterns={"pin": r"pin \d{4}"}, literals={"door": "sesame open"}, fields=["password"], entropy=4.5),
            layers.SlowLog(1.0, {"add": 0.5}),
            layers.Metrics(tenants=10),
            layers.Trace(),
            layers.Audit(KEY),
            layers.Serialize(),
            layers.RequireKey(["delete"]),
            layers.Scope(),
            layers.BulkGate(at_once=2, quiet=0.01, longest=0.1),
            layers.DiskGuard("/", low=1, high=2, every=1),
            layers.Quota(operations=(1000, 1000), bytes=(10**9, 10**9)),
            layers.Limits(content_bytes=10_000, depth=20),
        ]
        async with throughline.open(path, layers=stack) as opened:
            order = [line.split()[0] for line in opened.describe().splitlines() if line.strip()]
            names = ["limits", "quota", "disk-guard", "bulk-gate", "scope", "require-key", "serialize", "audit", "trace", "metrics", "slow-log", "redact", "encrypt", "retry", "timeout", "sqlite"]
            assert len(order) >= len(names)
            store = opened.with_capability(opened.everything())
            added = await store.thread("t").add("user", "the pin 1234 and sesame open")
            assert "1234" not in added.message.text and "sesame" not in added.message.text
            with pytest.raises(throughline.Denied):
                await opened.thread("t").page()
            with pytest.raises(throughline.TooLarge) as raised:
                await store.thread("t").add("user", "x" * 10_000)
            assert raised.value.site == "limits"
            with pytest.raises(throughline.Invalid, match="needs an idempotency key"):
                await store.thread("t").delete_message(added.id)
        with open(path, "rb") as file:
            assert b"the pin" not in file.read()

    run(main())


def test_limits_refuse() -> None:
    async def main() -> None:
        async with throughline.open("memory:", layers=[layers.Limits(content_bytes=100, batch_items=1)]) as store:
            with pytest.raises(throughline.TooLarge) as raised:
                await store.thread("t").add("user", "x" * 100)
            assert (raised.value.site, raised.value.effect) == ("limits", "notApplied")

    run(main())


def test_a_quota_says_when_to_come_again() -> None:
    async def main() -> None:
        async with throughline.open("memory:", layers=[layers.Quota(operations=(1, 2))]) as store:
            thread = store.thread("t")
            with pytest.raises(throughline.Overloaded) as raised:
                for _ in range(3):
                    await thread.add("user", "x")
            assert raised.value.site == "quota"
            assert raised.value.retry_after is not None and 0 < raised.value.retry_after <= 1
            assert raised.value.is_transient

    run(main())


def test_capabilities_narrow_and_end() -> None:
    async def main() -> None:
        async with throughline.open("memory:", layers=[layers.Scope()]) as opened:
            everything = opened.everything()
            await opened.with_capability(everything).thread("a/1").add("user", "x")
            reader = everything.of_tenant("default").in_threads_under("a/").read_only()
            store = opened.with_capability(reader)
            assert len(await store.thread("a/1").page()) == 1
            for call in (store.thread("a/1").add("user", "x"), store.thread("b").page()):
                with pytest.raises(throughline.Denied):
                    await call
            appender = opened.with_capability(everything.in_thread("a/1").append_only())
            await appender.thread("a/1").add("user", "x")
            with pytest.raises(throughline.Denied):
                await appender.thread("a/1").clear()
            assert reader.is_live
            opened.revoke(reader)
            assert not reader.is_live
            with pytest.raises(throughline.Denied):
                await store.thread("a/1").page()
            assert not everything.expiring_in(0).is_live

    run(main())


def test_encryption_needs_its_key(path: str) -> None:
    async def main() -> None:
        async with throughline.open(path, layers=[layers.Encrypt(KEY)]) as store:
            await store.thread("t").add("user", "a secret")
            assert (await store.thread("t").page()).messages[0].text == "a secret"
        async with throughline.open(path, layers=[layers.Encrypt(bytes(32), key_id="key-2", old_keys={"key-1": KEY})]) as store:
            assert (await store.thread("t").page()).messages[0].text == "a secret"
        async with throughline.open(path, layers=[layers.Encrypt(bytes(32), key_id="key-2")]) as store:
            with pytest.raises(throughline.ThroughlineError):
                page = await store.thread("t").page()
                assert page.messages == []
                raise throughline.Corrupt("damaged")

    run(main())


def test_metrics_count_calls() -> None:
    async def main() -> None:
        async with throughline.open("memory:", layers=[layers.Metrics()]) as store:
            for _ in range(3):
                await store.thread("t").add("user", "x")
            metrics: dict[str, Any] = store.metrics()
            counts = [
                series["value"]
                for all_series in metrics.values()
                for series in all_series
                if series["labels"].get("op", series["labels"].get("operation")) == "add" and series.get("value") == 3
            ]
            assert counts, metrics

    run(main())


def test_slow_calls_and_traces_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        slow = layers.Fault("slow", "delay", seconds=0.03, on="add")
        stack = [layers.SlowLog(0.01), layers.Trace(), layers.Chaos(1, [slow])]
        async with throughline.open("memory:", layers=stack) as store:
            await store.thread("thread-1").add("user", "a secret text")
            while not {"throughline.slow_log", "throughline.trace"} <= {record.name for record in caplog.records}:
                await asyncio.sleep(0.01)

    with caplog.at_level(logging.DEBUG, logger="throughline"):
        run(main())
    slow = next(record for record in caplog.records if record.name == "throughline.slow_log")
    assert slow.levelno == logging.WARNING
    assert "op=add" in slow.getMessage() and "thread=thread-1" in slow.getMessage()
    assert not any("secret" in record.getMessage() for record in caplog.records)


BAD: list[tuple[Any, dict[str, Any]]] = [
    (layers.Limits, {"content_bytes": -1}),
    (layers.Limits, {"depth": "deep"}),
    (layers.Quota, {"operations": (0, 1)}),
    (layers.DiskGuard, {"path": "/", "low": 2, "high": 1}),
    (layers.Audit, {"key": b"short"}),
    (layers.Encrypt, {"key": "0" * 32}),
    (layers.Encrypt, {"key": KEY, "old_keys": {"a": b""}}),
    (layers.Retry, {"attempts": 0}),
    (layers.Retry, {"backoff": (2, 1)}),
    (layers.Timeout, {"limit": 0}),
    (layers.Metrics, {"tenants": 0}),
]


@pytest.mark.parametrize(("layer", "options"), BAD, ids=range(len(BAD)))
def test_bad_options_are_refused(layer: Any, options: dict[str, Any]) -> None:
    with pytest.raises(throughline.Invalid, match=layer.__name__):
        layer(**options)


def test_secrets_are_not_shown() -> None:
    for layer in (layers.Encrypt(KEY, old_keys={"k": KEY}), layers.Audit(KEY), layers.Redact(literals={"a": "sesame"})):
        assert "\\x01" not in repr(layer) and "sesame" not in repr(layer)


def test_two_layers_of_a_name_are_refused() -> None:
    with pytest.raises(throughline.Invalid, match="serialize"):
        sync.open("memory:", layers=[layers.Serialize(), layers.Serialize()])
    with pytest.raises(throughline.Invalid, match="neither a layer"):
        sync.open("memory:", layers=[3])  # type: ignore[list-item]
    with pytest.raises(throughline.Invalid, match="Redact"):
        sync.open("memory:", layers=[layers.Redact(patterns={"bad": "("})])
