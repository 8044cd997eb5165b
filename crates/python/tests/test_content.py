"""Content and metadata cross unchanged."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from conftest import run

import throughline
from throughline import ops

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


BLOCKS: list[tuple[list[object], str]] = [
    ([{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}, {"text": "c"}, "d"], "a b c d"),
    ([{"type": "image"}, 3, None, {"type": "text", "text": 1}, {"text": ["a"]}, {"text": "a"}], "a"),
    (["", {"type": "text", "text": ""}, "a", "", "b"], "a b"),
    (["a\n", "\\ud800"], "a\n \\ud800"),
    (["a", {"type": "image"}, {"type": "output_text", "text": "\ud800"}, 3, {"text": ""}], "a \ud800"),
    ([], ""),
]


@pytest.mark.parametrize(("blocks", "text"), BLOCKS, ids=range(len(BLOCKS)))
def test_the_text_of_a_message_is_that_of_its_blocks(url: str, blocks: list[object], text: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            added = await thread.add("user", blocks)
            assert added.message.text == text
            # The preview of the thread follows the same rule, and replaces lone surrogates.
            summary = await thread.summary()
            assert summary is not None
            assert (summary.preview or "").rstrip("\ufffd") == text.rstrip("\ud800")

    run(main())


DOCUMENTS = [
    "0",
    "-0",
    "-0.0",
    "999999999999999999",
    "1000000000000000000",
    "-9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1.10",
    "1E400",
    "-1e-400",
    "2.5e+3",
    "0.1",
    "9007199254740993.0",
    '""',
    '"a\\"b\\\\c\\/\\b\\f\\n\\r\\t\\u0000\\u00e9\\ud834\\udd1e"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\\\"',
    '"é𝄞\u2028\x7f"',
    "[]",
    "{}",
    "[true,false,null]",
    ' [ 1 ,\t{ "a" : [ ] , "b" : { } } ,\r\n"x" ] ',
    '{"b":1,"a":{"b":2,"a":3},"b":4}',
    '{"a":1,"\\u0061":2,"\\ud800":3}',
    "[" * 60 + "]" * 60,
    "[" * 100 + '{"a":[1.5]}' + "]" * 100,
    "{" + ",".join(f'"name-{number}":{number}' for number in range(50)) + "}",
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_values_are_those_of_json_loads(url: str, document: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            content, metadata = f"[{document},{document}]", f'{{"m":{document}}}'
            await thread.add("user", content.encode(), metadata=metadata)
            await thread.add("user", b"[]")
            page = await thread.page()
            message = page.messages[0]
            # `repr` also compares what is equal: an integer and a float, 0.0 and -0.0, objects in another order.
            assert repr(message.content) == repr(json.loads(content))
            assert repr(message.metadata) == repr(json.loads(metadata))
            assert repr(page.rows("m")) == repr([(json.loads(content), json.loads(document)), ([], None)])
            assert page.rows("n")[0][1] is None

    run(main())


def test_a_row_whose_metadata_leaves_its_text_to_the_content_gets_it(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            thread = store.thread("t")
            marked = {"m": {"a": 1, "content": "text", "b": 2}}
            cases: list[tuple[bytes, Any]] = [
                (b'["one \\u00e9\\n"]', marked),
                (b' [ "spaced" ] ', marked),
                (b'["\\ud800"]', marked),
                (b'["one","two"]', marked),
                (b'[["nested"]]', marked),
                (b'[{"type":"text","text":"x"}]', marked),
                (b"[]", marked),
                (b'["x"]', {"m": {"content": "blocks"}}),
                (b'["x"]', {"m": {"content": 1}}),
                (b'["x"]', {"m": ["content"]}),
                (b'["x"]', {"m": "content"}),
                (b'["x"]', {"n": {"content": "text"}}),
            ]
            for content, metadata in cases:
                await thread.add("user", content, metadata=metadata)
            page = await thread.page()
            assert page.rows("m", text=None) == page.rows("m")
            rows = page.rows("m", text=("content", "text"))
            assert repr(rows[:2]) == repr(
                [(None, {"a": 1, "content": text, "b": 2}) for text in ("one é\n", "spaced")]
            )
            # All others are as without it.
            assert repr(rows[2:]) == repr([(json.loads(content), metadata.get("m")) for content, metadata in cases[2:]])

    run(main())


def test_an_integer_that_python_refuses_is_refused_at_the_read(url: str) -> None:
    async def main() -> None:
        async with throughline.open(url) as store:
            content = b"[" + b"1" * 5000 + b"]"
            added = await store.thread("t").add("user", content)
            assert added.message.content_json == content
            with pytest.raises(ValueError, match="4300 digits"):
                json.loads(content)
            with pytest.raises(ValueError, match="4300 digits"):
                added.message.content  # noqa: B018

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


def test_json_text_cannot_end_the_operation_that_it_is_a_part_of(url: str) -> None:
    smuggled = '{}}},{"thread":{"delete":{"thread":"victim"}'

    async def main() -> None:
        async with throughline.open(url) as store:
            victim, thread = store.thread("victim"), store.thread("t")
            await victim.add("user", "stays")
            added = await thread.add("user", "x", metadata={"a": 1})
            for metadata in (smuggled, smuggled.encode(), '{},"expected":99', "[]", "1", "", "{", b"\xff"):
                calls: list[Callable[[], Awaitable[object]]] = [
                    lambda: store.batch([ops.add("t", "user", "y", metadata=metadata)]),
                    lambda: thread.add("user", "y", metadata=metadata),
                    lambda: thread.update(added.message.id, metadata or "{"),
                    lambda: store.thread("new").create(metadata=metadata),
                ]
                for call in calls:
                    with pytest.raises(throughline.Invalid, match="metadata"):
                        await call()
            with pytest.raises(throughline.Invalid, match="metadata: cannot be encoded as JSON"):
                await thread.update(added.message.id, {"a": object()})
            for cursor in ('null,"unlisted":true', "", "{"):
                with pytest.raises(throughline.Invalid, match="after: not one JSON value"):
                    await store.threads(after=cursor)
            assert [message.text async for message in victim.messages()] == ["stays"]
            assert [message.metadata async for message in thread.messages()] == [{"a": 1}]

    run(main())
