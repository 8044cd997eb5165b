"""A Postgres store, where `THROUGHLINE_POSTGRES_URL` names a database."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator

import pytest
from conftest import run

import throughline
from throughline import _throughline, layers, sync

URL = os.environ.get("THROUGHLINE_POSTGRES_URL", "")
needs_postgres = pytest.mark.skipif(
    not URL or "postgres" not in _throughline.BUILT_WITH, reason="THROUGHLINE_POSTGRES_URL names no database"
)


@pytest.fixture
def tenant() -> Iterator[str]:
    yield f"python-{uuid.uuid4()}"


@needs_postgres
def test_messages_of_two_handles(tenant: str) -> None:
    async def main() -> None:
        async with throughline.open(URL, tenant=tenant) as one, throughline.open(URL, tenant=tenant) as other:
            added = await asyncio.gather(*(one.thread("t").add("user", f"{n}", id=f"m-{n}") for n in range(64)))
            assert sorted(one.seq for one in added) == list(range(1, 65))
            page = await other.thread("t").page(100)
            assert {message.id for message in page.messages} == {f"m-{n}" for n in range(64)}
            with pytest.raises(throughline.AlreadyExists) as raised:
                await other.thread("t").add("user", "x", id="m-1")
            assert raised.value.site == "postgres"
            changes = [change.kind async for change in other.thread("t").changes(wait=False)]
            assert changes == ["added"] * 64

    run(main())


@needs_postgres
def test_drafts_content_and_layers(tenant: str) -> None:
    async def main() -> None:
        async with throughline.open(URL, tenant=tenant, layers=[layers.Encrypt(bytes(32))]) as store:
            thread = store.thread("t")
            async with thread.draft(id="m") as draft:
                await draft.append("Hel")
                await draft.append("lo")
            message = await thread.get("m")
            assert message is not None and (message.text, message.state) == ("Hello", "final")
            await thread.add("user", b'[{"n":1.10,"n":2}]', id="n")
            message = await thread.get("n")
            assert message is not None and message.content_json == b'[{"n":1.10,"n":2}]'
            tasks = [asyncio.create_task(thread.add("user", "x", id=f"c-{n}")) for n in range(50)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await thread.add("user", "last")

    run(main())


@needs_postgres
def test_blocking_callers(tenant: str) -> None:
    with sync.open(URL, tenant=tenant) as store:
        store.thread("t").add("user", "hello")
        assert [message.text for message in store.thread("t").messages()] == ["hello"]
        with pytest.raises(throughline.Unsupported):
            store.verify()


@needs_postgres
def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(throughline.ThroughlineError) as raised:
        sync.open("postgresql://nobody@127.0.0.1:1/none", options={"wait_limit": 0.2})
    assert raised.value.code in ("unavailable", "timeout")


@needs_postgres
def test_options_of_poolers_and_row_security_are_checked_by_the_server(tenant: str) -> None:
    # The server itself does what a pooler without kept statements does: it has the names of the driver's statements.
    with pytest.raises(throughline.ThroughlineError, match="the pooler keeps no prepared statements"):
        sync.open(URL, tenant=tenant, options={"prepared_statements": True})
    with pytest.raises(throughline.ThroughlineError, match="the store has no row security|row security does not hold"):
        sync.open(URL, tenant=tenant, options={"row_security": True})
    with pytest.raises(throughline.ThroughlineError, match="the URL of `listen_at`"):
        sync.open(URL, tenant=tenant, options={"pgbouncer": True, "listen_at": "no URL"})
    # Without a value, or declared as false, an option changes nothing.
    plain = {"prepared_statements": False, "row_security": False, "pgbouncer": False}
    with sync.open(URL, tenant=tenant, options=plain) as store:
        store.thread("t").add("user", "hello")
    with sync.open(URL, tenant=tenant, options={"pgbouncer": True, "listen_at": URL}) as store:
        assert [message.text for message in store.thread("t").messages()] == ["hello"]
