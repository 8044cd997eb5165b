"""Content and metadata cross unchanged."""

from __future__ import annotations

import json
import math

import pytest
from conftest import run

import throughline

BYTES = [
    b'[{"n":10000000000000000000000000000000000000000}]',
    b'[{"n":1.10,"m":-0.0,"e":1E+400}]',
    b'[{"a":1,"a":2,"b":{"z":1,"a":2}}]',
    b'["\\ud800"]',
    b'[{"type":"text","text":"\\u0000"}]',
    b"[ 1 , 2 ]",
    "[{\"type\":\"text\",\"text\":\"\U0001d11e é\"}]".encode(),
    b"[]",
]


@pytest.mark.parametrize("content", BYTES, ids=range(len(BYTES)))
def test_bytes_survive(url: str, content: bytes) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            added = await thread.add("user", content)
            assert added.message.content_json == content
            page = await thread.page()
            assert page.messages[0].content_json == content
            assert page.contents_json == b"[" + content + b"]"
            assert json.loads(page.json)[0]["content"] == json.loads(content)

    run(main())


VALUES: list[list[object]] = [
    [10**40, -(10**40), 2**63, 1.1, 1e300],
    [{"b": 1, "a": {"z": None, "y": [True, False]}}],
    ["\ud800 lone", {"\udfff": "\x00"}],
    [{"type": "text", "text": "\x00\x1f\"\\/\u2028 é \U0001d11e"}],
    [],
]


@pytest.mark.parametrize("content", VALUES, ids=range(len(VALUES)))
def test_values_survive(url: str, content: list[object]) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            added = await store.thread("t").add("user", content)
            assert added.message.content == content
            assert [list(block) for block in added.message.content if isinstance(block, dict)] == [
                list(block) for block in content if isinstance(block, dict)
            ]

    run(main())


TEXTS = ["", "hello", "\x00", "\ud800 and \udfff", "a\"b\\c\n\t\x7f", "é\U0001d11e\u2028", "x" * 300_000, "\ud83d" + "y" * 70_000]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_texts_survive(url: str, text: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            added = await store.thread("t").add("user", text)
            assert added.message.text == text
            assert added.message.content == [{"type": "text", "text": text}]

    run(main())


def test_text_joins_text_blocks(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            blocks = [{"type": "text", "text": "a"}, {"type": "image", "text": "no"}, 3, {"type": "text", "text": "b"}]
            added = await store.thread("t").add("user", blocks)
            assert added.message.text == "a\nb"

    run(main())


def test_metadata_survives(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            metadata = {"n": 10**40, "s": "\ud800", "list": [1.1, None], "é": "\x00"}
            added = await thread.add("user", "x", metadata=metadata)
            assert added.message.metadata == metadata
            added = await thread.add("user", "x", metadata=b'{"n":1.10}')
            assert added.message.metadata_json == b'{"n":1.10}'

    run(main())


BAD: list[tuple[object, str]] = [
    (b"{}", "not an array"),
    (b"[1,", "is not JSON"),
    (b"\xff", "is not UTF-8"),
    ([math.nan], "cannot be encoded"),
    ([object()], "cannot be encoded"),
    (3, "not an array"),
]


@pytest.mark.parametrize(("content", "why"), BAD, ids=range(len(BAD)))
def test_bad_content_is_refused(url: str, content: object, why: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            with pytest.raises(throughline.Invalid, match=why) as raised:
                await store.thread("t").add("user", content)  # type: ignore[arg-type]
            assert raised.value.effect == "notApplied"
            assert isinstance(raised.value, ValueError)
            assert await store.thread("t").summary() is None

    run(main())


def test_bad_metadata_is_refused(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            for metadata in (b"[]", "{", {"a": object()}, {"a": math.inf}):
                with pytest.raises(throughline.Invalid, match="the metadata"):
                    await thread.add("user", "x", metadata=metadata)  # type: ignore[arg-type]

    run(main())
