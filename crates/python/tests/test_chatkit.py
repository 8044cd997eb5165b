"""The ChatKit store beyond ChatKit's own tests: order, ids, titles, other programs, other users."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("chatkit")

from chatkit.store import NotFoundError  # noqa: E402
from chatkit.types import (  # noqa: E402
    AssistantMessageContent,
    AssistantMessageItem,
    ClientToolCallItem,
    CustomSummary,
    CustomTask,
    EndOfTurnItem,
    FileAttachment,
    GeneratedImage,
    GeneratedImageItem,
    HiddenContextItem,
    ImageAttachment,
    InferenceOptions,
    LockedStatus,
    SDKHiddenContextItem,
    StructuredInputFreeform,
    StructuredInputItem,
    TaskItem,
    ThreadMetadata,
    UserMessageItem,
    UserMessageTagContent,
    UserMessageTextContent,
    WidgetItem,
    Workflow,
    WorkflowItem,
)
from chatkit.widgets import Card, Text  # noqa: E402

import throughline  # noqa: E402
from throughline.adapters.chatkit import ChatKitStore  # noqa: E402

ANN = {"user_id": "ann"}
BOB = {"user_id": "bob"}
NOW = datetime(2026, 5, 1, 12, 30, 15, 123456)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=["sqlite", "memory"])
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> ChatKitStore[Any]:
    return ChatKitStore(tmp_path / "chat.db" if request.param == "sqlite" else "memory:")


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs a test in a loop of its own, and closes its store."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async def scenario() -> None:
            try:
                await test(**fixtures)
            finally:
                if "chat" in fixtures:
                    await fixtures["chat"].close()

        asyncio.run(scenario())

    return run


def a_thread(id: str, seconds: int = 0, **fields: Any) -> ThreadMetadata:
    return ThreadMetadata(id=id, created_at=NOW + timedelta(seconds=seconds), **fields)


def said(id: str, text: str = "hello", thread: str = "t") -> UserMessageItem:
    return UserMessageItem(
        id=id,
        thread_id=thread,
        created_at=NOW,
        content=[UserMessageTextContent(text=text)],
        inference_options=InferenceOptions(),
    )


async def ids(chat: ChatKitStore[Any], order: str, limit: int = 100, after: str | None = None) -> list[str]:
    page = await chat.load_thread_items("t", after, limit, order, ANN)
    return [item.id for item in page.data]


async def listed(chat: ChatKitStore[Any], order: str, context: Any = ANN) -> list[str]:
    """Lists the threads in pages of two."""
    found: list[str] = []
    after = None
    while True:
        page = await chat.load_threads(2, after, order, context)
        found += [thread.id for thread in page.data]
        assert page.has_more == (page.after is not None)
        if not page.has_more:
            return found
        assert page.after == found[-1] and len(page.data) == 2
        after = page.after


@asynchronous
async def test_pages_of_items_go_on_after_an_item_in_both_directions(chat: ChatKitStore[Any]) -> None:
    await chat.save_thread(a_thread("t"), ANN)
    for number in range(5):
        await chat.add_thread_item("t", said(f"m{number}"), ANN)
    page = await chat.load_thread_items("t", None, 2, "asc", ANN)
    assert ([item.id for item in page.data], page.has_more, page.after) == (["m0", "m1"], True, "m1")
    page = await chat.load_thread_items("t", "m1", 3, "asc", ANN)
    assert ([item.id for item in page.data], page.has_more, page.after) == (["m2", "m3", "m4"], False, None)
    page = await chat.load_thread_items("t", None, 2, "desc", ANN)
    assert ([item.id for item in page.data], page.has_more, page.after) == (["m4", "m3"], True, "m3")
    page = await chat.load_thread_items("t", "m3", 3, "desc", ANN)
    assert ([item.id for item in page.data], page.has_more, page.after) == (["m2", "m1", "m0"], False, None)
    with pytest.raises(NotFoundError, match="Item m9 not found in thread t"):
        await chat.load_thread_items("t", "m9", 3, "asc", ANN)


@asynchronous
async def test_a_page_can_have_more_items_than_one_read_of_the_store(chat: ChatKitStore[Any]) -> None:
    async with throughline.open("memory:") as store:
        chat = ChatKitStore(store, tenant=lambda _: None)
        await store.batch([throughline.ops.add("t", "user", str(number), id=f"m{number}") for number in range(1501)])
        page = await chat.load_thread_items("t", None, 1500, "desc", None)
        assert [item.id for item in page.data] == [f"m{number}" for number in range(1500, 0, -1)]
        assert (page.has_more, page.after) == (True, "m1")


@asynchronous
async def test_threads_are_listed_by_creation_with_and_without_items(chat: ChatKitStore[Any]) -> None:
    for id, seconds in (("b", 1), ("c", 1), ("a", 3), ("d", 0), ("e", 2)):
        await chat.save_thread(a_thread(id, seconds), ANN)
    await chat.add_thread_item("b", said("m", thread="b"), ANN)
    await chat.save_thread(a_thread("d", 9, title="a later title"), ANN)
    await chat.save_thread(a_thread("of-bob", 2), BOB)
    assert await listed(chat, "asc") == ["d", "b", "c", "e", "a"]
    assert await listed(chat, "desc") == ["a", "e", "c", "b", "d"]
    assert await listed(chat, "asc", BOB) == ["of-bob"]
    assert await listed(chat, "asc", {"user_id": "eve"}) == []
    with pytest.raises(NotFoundError, match="Thread of-bob not found"):
        await chat.load_threads(2, "of-bob", "asc", ANN)


@asynchronous
async def test_an_id_is_saved_again_after_its_deletion(chat: ChatKitStore[Any]) -> None:
    await chat.save_thread(a_thread("t", title="first"), ANN)
    for id in ("m1", "m2"):
        await chat.add_thread_item("t", said(id, "first"), ANN)
    await chat.delete_thread_item("t", "m1", ANN)
    await chat.delete_thread_item("t", "m1", ANN)
    with pytest.raises(NotFoundError):
        await chat.load_item("t", "m1", ANN)
    await chat.add_thread_item("t", said("m1", "second"), ANN)
    assert await chat.load_item("t", "m1", ANN) == said("m1", "second")
    assert await ids(chat, "asc") == ["m2", "m1"], "it is at the end, as a new item"
    await chat.delete_thread_item("t", "m1", ANN)
    await chat.save_item("t", said("m1", "third"), ANN)
    assert await chat.load_item("t", "m1", ANN) == said("m1", "third")

    await chat.delete_thread("t", ANN)
    await chat.delete_thread("t", ANN)
    with pytest.raises(NotFoundError):
        await chat.load_thread("t", ANN)
    assert await ids(chat, "asc") == [] and await listed(chat, "asc") == []
    await chat.save_thread(a_thread("t", title="second"), ANN)
    assert (await chat.load_thread("t", ANN)).title == "second"
    assert await ids(chat, "asc") == [] and await listed(chat, "asc") == ["t"]
    await chat.add_thread_item("t", said("m2", "fourth"), ANN)
    assert await ids(chat, "asc") == ["m2"]

    file = FileAttachment(id="a1", mime_type="text/plain", name="first.txt")
    await chat.save_attachment(file, ANN)
    await chat.delete_attachment("a1", ANN)
    await chat.delete_attachment("a1", ANN)
    with pytest.raises(NotFoundError, match="Attachment a1 not found"):
        await chat.load_attachment("a1", ANN)
    again = file.model_copy(update={"name": "second.txt"})
    await chat.save_attachment(again, ANN)
    assert await chat.load_attachment("a1", ANN) == again


@asynchronous
async def test_a_thread_that_was_saved_again_is_like_any_other(chat: ChatKitStore[Any]) -> None:
    for title in ("first", "second", "third"):
        await chat.save_thread(a_thread("t", 1, title=title), ANN)
        await chat.save_thread(a_thread("t", 1, title=title.upper()), ANN)
        for id in ("m1", "m2", "m3"):
            await chat.add_thread_item("t", said(id, title), ANN)
        await chat.save_item("t", said("m2", title.upper()), ANN)
        await chat.delete_thread_item("t", "m3", ANN)
        with pytest.raises(throughline.AlreadyExists):
            await chat.add_thread_item("t", said("m1", "another text"), ANN)
        page = await chat.load_thread_items("t", None, 1, "asc", ANN)
        assert (page.data, page.after) == ([said("m1", title)], "m1")
        page = await chat.load_thread_items("t", "m1", 9, "asc", ANN)
        assert (page.data, page.after) == ([said("m2", title.upper())], None)
        await chat.save_thread(a_thread("before", 0), ANN)
        await chat.save_thread(a_thread("after", 2), ANN)
        assert await listed(chat, "asc") == ["before", "t", "after"]
        assert (await chat.load_threads(9, "t", "desc", ANN)).data[0].id == "before"
        assert (await chat.load_thread("t", ANN)).title == title.upper()
        await chat.delete_thread("t", ANN)
        assert await listed(chat, "asc") == ["before", "after"]
    for write in (chat.add_thread_item("t", said("late"), ANN), chat.save_item("t", said("late"), ANN)):
        with pytest.raises(throughline.Gone):
            await write
    assert await ids(chat, "asc") == []


@asynchronous
async def test_tasks_that_save_a_deleted_thread_again_leave_one(chat: ChatKitStore[Any]) -> None:
    for _ in range(3):
        titles = [f"title {number}" for number in range(16)]
        await asyncio.gather(*(chat.save_thread(a_thread("t", title=title), ANN) for title in titles))
        await asyncio.gather(*(chat.add_thread_item("t", said(title), ANN) for title in titles))
        assert await listed(chat, "asc") == ["t"]
        assert (await chat.load_thread("t", ANN)).title in titles
        assert sorted(await ids(chat, "asc")) == sorted(titles)
        await chat.delete_thread("t", ANN)


@asynchronous
async def test_users_have_the_same_ids_without_meeting(chat: ChatKitStore[Any]) -> None:
    for context in (ANN, BOB):
        await chat.save_thread(a_thread("t", title=context["user_id"]), context)
        await chat.add_thread_item("t", said("m", context["user_id"]), context)
        await chat.save_attachment(FileAttachment(id="a", mime_type="text/plain", name=context["user_id"]), context)
    await chat.delete_thread_item("t", "m", BOB)
    await chat.delete_attachment("a", BOB)
    await chat.delete_thread("t", BOB)
    assert (await chat.load_thread("t", ANN)).title == "ann"
    assert await chat.load_item("t", "m", ANN) == said("m", "ann")
    assert (await chat.load_attachment("a", ANN)).name == "ann"
    assert (await chat.load_thread_items("t", None, 9, "asc", BOB)).data == []


@asynchronous
async def test_an_item_keeps_the_thread_that_it_names(chat: ChatKitStore[Any]) -> None:
    for item in (said("m1", thread="another"), EndOfTurnItem(id="m2", thread_id="another", created_at=NOW)):
        await chat.add_thread_item("t", item, ANN)
        assert await chat.load_item("t", item.id, ANN) == item


@asynchronous
async def test_a_saved_item_stays_where_it_is(chat: ChatKitStore[Any]) -> None:
    for id in ("m1", "m2", "m3"):
        await chat.save_item("t", said(id), ANN)
    await chat.save_item("t", said("m2", "changed"), ANN)
    assert await ids(chat, "asc") == ["m1", "m2", "m3"]
    assert await chat.load_item("t", "m2", ANN) == said("m2", "changed")
    replaced = EndOfTurnItem(id="m2", thread_id="t", created_at=NOW)
    await chat.save_item("t", replaced, ANN)
    assert await chat.load_item("t", "m2", ANN) == replaced


@asynchronous
async def test_the_same_item_again_changes_nothing_and_another_one_is_refused(chat: ChatKitStore[Any]) -> None:
    await chat.add_thread_item("t", said("m"), ANN)
    await chat.add_thread_item("t", said("m"), ANN)
    with pytest.raises(throughline.AlreadyExists):
        await chat.add_thread_item("t", said("m", "another text"), ANN)
    assert [item for item in (await chat.load_thread_items("t", None, 9, "asc", ANN)).data] == [said("m")]


@asynchronous
async def test_a_workflow_that_a_later_run_has_continued_is_replaced(chat: ChatKitStore[Any]) -> None:
    workflow = WorkflowItem(id="w", thread_id="t", created_at=NOW, workflow=Workflow(type="custom", tasks=[]))
    await chat.add_thread_item("t", workflow, ANN)
    await chat.add_thread_item("t", said("m"), ANN)
    workflow.workflow.tasks.append(CustomTask(title="think"))
    await chat.add_thread_item("t", workflow, ANN)
    assert (await chat.load_thread_items("t", None, 9, "asc", ANN)).data == [workflow, said("m")]
    with pytest.raises(throughline.AlreadyExists):
        await chat.add_thread_item("t", said("w"), ANN)


@asynchronous
async def test_tasks_that_save_one_id_leave_one_item(chat: ChatKitStore[Any]) -> None:
    texts = [f"text {number}" for number in range(32)]
    await asyncio.gather(*(chat.save_item("t", said("m", text), ANN) for text in texts))
    await asyncio.gather(*(chat.save_thread(a_thread("t", title=text), ANN) for text in texts))
    assert await ids(chat, "asc") == ["m"]
    item = await chat.load_item("t", "m", ANN)
    assert isinstance(item, UserMessageItem) and item.content[0].text in texts
    assert (await chat.load_thread("t", ANN)).title in texts


@asynchronous
async def test_every_type_of_item_comes_back_equal(chat: ChatKitStore[Any]) -> None:
    of = {"thread_id": "t", "created_at": NOW}
    aware = {"thread_id": "t", "created_at": datetime(2026, 5, 1, tzinfo=timezone(timedelta(hours=2)))}
    image = ImageAttachment(id="a1", mime_type="image/png", name="a.png", preview_url="https://example.com/a.png")
    tag = UserMessageTagContent(id="tag", text="@ann", data={"large": 2**63 + 1, "nested": {"content": [1.5, None]}})
    items = [
        UserMessageItem(
            id="1", content=[tag], attachments=[image], quoted_text="q", inference_options=InferenceOptions(), **aware
        ),
        AssistantMessageItem(id="2", content=[AssistantMessageContent(text="é \u0000 🚂")], **of),
        ClientToolCallItem(
            id="3", call_id="c", name="f", arguments={"content": 1}, output={"id": "x", "type": "y"}, **of
        ),
        WidgetItem(id="4", widget=Card(children=[Text(value="hi")]), copy_text="hi", **of),
        GeneratedImageItem(id="5", image=GeneratedImage(id="i", url="https://example.com/i.png"), **of),
        StructuredInputItem(id="6", inputs=[StructuredInputFreeform(id="q", question="why?")], **of),
        TaskItem(id="7", task=CustomTask(title="think"), **of),
        WorkflowItem(id="8", workflow=Workflow(type="custom", tasks=[], summary=CustomSummary(title="done")), **of),
        HiddenContextItem(id="9", content={"type": "x", "content": ["y"]}, **of),
        SDKHiddenContextItem(id="10", content="cancelled", **of),
        EndOfTurnItem(id="11", **of),
    ]
    for item in items:
        await chat.add_thread_item("t", item, ANN)
    assert (await chat.load_thread_items("t", None, 20, "asc", ANN)).data == items


@pytest.mark.parametrize("title", [None, "", "  spaces  ", "Untitled", " Untitled", "é" * 3000, "plain"])
@asynchronous
async def test_a_title_comes_back_as_it_was(chat: ChatKitStore[Any], title: str | None) -> None:
    thread = a_thread("t", title=title, status=LockedStatus(reason="why"), metadata={"large": 2**70, "a": None})
    await chat.save_thread(thread, ANN)
    assert await chat.load_thread("t", ANN) == thread
    await chat.save_thread(thread.model_copy(update={"title": "between"}), ANN)
    await chat.save_thread(thread, ANN)
    assert await chat.load_thread("t", ANN) == thread


@asynchronous
async def test_other_programs_share_the_threads(chat: ChatKitStore[Any]) -> None:
    async with throughline.open("memory:", search=True) as store:
        chat = ChatKitStore(store)
        await chat.save_thread(a_thread("t", title="of ChatKit"), ANN)
        await chat.add_thread_item("t", said("m1", "Which train goes to Lisbon?"), ANN)
        tenant = store.for_tenant("ann")
        summary = await tenant.thread("t").summary()
        assert summary is not None
        assert (summary.title, summary.preview) == ("of ChatKit", "Which train goes to Lisbon?")
        assert [hit.id for hit in (await tenant.search("lisbon")).hits] == ["m1"]

        await tenant.thread("t").rename("of another program")
        await tenant.thread("t").add("assistant", "The one at nine.", id="m2")
        await tenant.thread("t").add("tool", [{"type": "tool_result", "output": 3}], id="m3")
        await tenant.thread("other").add("user", "hello")
        assert (await chat.load_thread("t", ANN)).title == "of another program"
        page = await chat.load_thread_items("t", "m1", 9, "asc", ANN)
        reply, hidden = page.data
        assert isinstance(reply, AssistantMessageItem) and reply.content[0].text == "The one at nine."
        assert isinstance(hidden, HiddenContextItem) and hidden.content == [{"type": "tool_result", "output": 3}]
        assert (await chat.load_thread("other", ANN)).title is None
        assert await listed(chat, "asc") == ["t", "other"]


@pytest.mark.parametrize("hidden", ["chatkit.attachments", "chatkit.saved_again"])
@asynchronous
async def test_the_threads_of_the_adapter_are_out_of_reach(chat: ChatKitStore[Any], hidden: str) -> None:
    await chat.save_attachment(FileAttachment(id="a", mime_type="text/plain", name="a.txt"), ANN)
    for _ in range(2):
        await chat.save_thread(a_thread("t"), ANN)
        await chat.delete_thread("t", ANN)
    await chat.save_thread(a_thread("t"), ANN)
    assert await listed(chat, "asc") == ["t"]
    for call in (
        chat.load_thread(hidden, ANN),
        chat.load_thread_items(hidden, None, 9, "asc", ANN),
        chat.load_threads(9, hidden, "asc", ANN),
        chat.load_item(hidden, "a", ANN),
        chat.save_thread(a_thread(hidden), ANN),
        chat.save_item(hidden, said("a"), ANN),
        chat.delete_thread_item(hidden, "a", ANN),
        chat.delete_thread(hidden, ANN),
    ):
        with pytest.raises(NotFoundError, match="is a thread of the adapter"):
            await call
    assert (await chat.load_attachment("a", ANN)).name == "a.txt"
    assert (await chat.load_thread("t", ANN)).id == "t"


@asynchronous
async def test_an_attachment_is_replaced(chat: ChatKitStore[Any]) -> None:
    image = ImageAttachment(id="a", mime_type="image/png", name="a.png", preview_url="https://example.com/a.png")
    for attachment in (image, image.model_copy(update={"thread_id": "t", "metadata": {"size": 2**60}})):
        await chat.save_attachment(attachment, ANN)
        assert await chat.load_attachment("a", ANN) == attachment


def test_generated_ids_are_of_version_7_and_sort_by_time() -> None:
    chat: ChatKitStore[Any] = ChatKitStore("memory:")
    made = [chat.generate_thread_id(ANN) for _ in range(100)]
    assert made == sorted(set(made))
    assert {uuid.UUID(id.removeprefix("thr_")).version for id in made} == {7}
    thread = a_thread("t")
    for kind, prefix in (("message", "msg_"), ("tool_call", "tc_"), ("task", "tsk_"), ("workflow", "wf_")):
        id = chat.generate_item_id(kind, thread, ANN)  # type: ignore[arg-type]
        assert id.startswith(prefix) and uuid.UUID(id.removeprefix(prefix)).version == 7


@asynchronous
async def test_a_wrong_argument_is_refused_by_name(chat: ChatKitStore[Any]) -> None:
    with pytest.raises(ValueError, match="the order of a page is asc or desc, not 'newest'"):
        await chat.load_threads(1, None, "newest", ANN)
    with pytest.raises(ValueError, match="the limit of a page is at least 1, not 0"):
        await chat.load_thread_items("t", None, 0, "asc", ANN)
    with pytest.raises(TypeError, match="the context of the request \\(NoneType\\) has no user_id"):
        await chat.load_thread("t", None)
    with pytest.raises(throughline.Invalid):
        await chat.load_thread("a\nb", ANN)


def test_a_store_is_opened_by_the_first_call_and_comes_back_after_close(tmp_path: Path) -> None:
    chat: ChatKitStore[Any] = ChatKitStore(tmp_path / "chat.db", tenant=lambda _: None)

    async def write() -> None:
        assert not (tmp_path / "chat.db").exists()
        await chat.add_thread_item("t", said("m"), None)
        await chat.close()
        await chat.close()

    async def read() -> None:
        assert await chat.load_item("t", "m", None) == said("m")
        await chat.close()

    asyncio.run(write())
    asyncio.run(read())


def test_options_need_a_store_that_is_opened_here() -> None:
    async def scenario() -> None:
        async with throughline.open("memory:") as store:
            with pytest.raises(TypeError, match="takes no create="):
                ChatKitStore(store, create=False)

    asyncio.run(scenario())


def test_the_example_goes_on_after_a_restart() -> None:
    example = Path(__file__).parents[1] / "examples" / "chatkit_server.py"
    answer = subprocess.run([sys.executable, "-W", "ignore", str(example)], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == [
        "the model was sent 3 items",
        "user_message: When does the train to Lisbon leave?",
        "assistant_message: The train to Lisbon leaves at 09:15.",
        "user_message: And when does it arrive?",
        "assistant_message: It arrives at noon.",
        "4 messages; the last question: And when does it arrive?",
    ]
