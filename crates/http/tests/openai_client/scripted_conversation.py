"""Runs a scripted conversation with OpenAI's own clients against a server of this crate.

Usage: scripted_conversation.py BASE_URL TOKEN. The clients are unmodified: only their base URL and key are set.
"""

import asyncio
import sys

import httpx2
import openai
from agents import Agent, Model, ModelResponse, OpenAIConversationsSession, Runner, RunConfig, Usage
from agents import function_tool
from agents.tracing import set_tracing_disabled
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
)

BASE_URL, TOKEN = sys.argv[1:]


def check(actual, expected):
    assert actual == expected, f"\n  actual:   {actual!r}\n  expected: {expected!r}"


def text(item):
    return item.content[0].text


def conversations():
    client = OpenAI(base_url=BASE_URL, api_key=TOKEN)
    conversation = client.conversations.create(
        items=[{"role": "developer", "content": "Be brief."}], metadata={"topic": "trip"}
    )
    check(conversation.object, "conversation")
    check(conversation.metadata, {"topic": "trip"})
    check(client.conversations.retrieve(conversation.id), conversation)
    updated = client.conversations.update(conversation.id, metadata={"mood": "good"})
    check(updated.metadata, {"topic": "trip", "mood": "good"})

    added = client.conversations.items.create(
        conversation.id,
        items=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where to?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "sea"}]},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Lisbon"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
            {"role": "assistant", "content": "To the sea.", "type": "message"},
        ],
        include=["reasoning.encrypted_content"],
    )
    check(added.object, "list")
    check([item.type for item in added.data], ["message", "reasoning", "function_call", "function_call_output", "message"])
    check([type(item).__name__ for item in added.data][2:4], ["ResponseFunctionToolCallItem", "ResponseFunctionToolCallOutputItem"])
    check((added.first_id, added.last_id, added.has_more), (added.data[0].id, added.data[-1].id, False))
    call = client.conversations.items.retrieve(added.data[2].id, conversation_id=conversation.id)
    check((call.arguments, call.status), ('{"city":"Lisbon"}', "completed"))

    # More than one page, in both orders, by the pagination of the client.
    for batch in range(3):
        client.conversations.items.create(
            conversation.id, items=[{"role": "user", "content": f"{batch}-{at}"} for at in range(20)]
        )
    expected = [f"{batch}-{at}" for batch in range(3) for at in range(20)]
    ascending = [item for item in client.conversations.items.list(conversation.id, order="asc", limit=7)]
    check(len(ascending), 66)
    check([text(item) for item in ascending[6:]], expected)
    descending = [item for item in client.conversations.items.list(conversation.id)]
    check([item.id for item in descending], [item.id for item in reversed(ascending)])
    after = client.conversations.items.list(conversation.id, order="asc", after=ascending[5].id, limit=1)
    check((text(after.data[0]), after.has_more, len(after.data)), ("0-0", True, 1))

    check(client.conversations.items.delete("rs_1", conversation_id=conversation.id).id, conversation.id)
    try:
        client.conversations.items.retrieve("rs_1", conversation_id=conversation.id)
        raise AssertionError("the item was not deleted")
    except openai.NotFoundError as error:
        check((error.status_code, error.code, error.type), (404, "not_found", "invalid_request_error"))
    deleted = client.conversations.delete(conversation.id)
    check((deleted.id, deleted.deleted, deleted.object), (conversation.id, True, "conversation.deleted"))


def errors():
    try:
        OpenAI(base_url=BASE_URL, api_key="wrong").conversations.create()
        raise AssertionError("a wrong key was accepted")
    except openai.AuthenticationError as error:
        check((error.code, error.message.startswith("Error code: 401")), ("unauthenticated", True))
    client = OpenAI(base_url=BASE_URL, api_key=TOKEN)
    try:
        client.conversations.create(metadata={str(at): "x" for at in range(17)})
        raise AssertionError("too many pairs were accepted")
    except openai.BadRequestError as error:
        check(error.body["message"], "`metadata` has more than 16 pairs")


class LosesAnswers(httpx2.BaseTransport):
    """Sends each request, and loses the first answer to each write."""

    def __init__(self):
        self.inner = httpx2.HTTPTransport()
        self.lost = 0

    def handle_request(self, request):
        response = self.inner.handle_request(request)
        if request.headers.get("x-stainless-retry-count") == "0" and request.method == "POST":
            response.read()
            self.lost += 1
            raise httpx2.ReadError("the answer was lost", request=request)
        return response


def lost_answers():
    transport = LosesAnswers()
    client = OpenAI(base_url=BASE_URL, api_key=TOKEN, http_client=httpx2.Client(transport=transport), max_retries=1)
    conversation = client.conversations.create(extra_headers={"Idempotency-Key": "conversation"})
    for at in range(5):
        client.conversations.items.create(
            conversation.id,
            items=[{"role": "user", "content": f"once {at}"}],
            extra_headers={"Idempotency-Key": f"item-{at}"},
        )
    check(transport.lost, 6)
    listed = [text(item) for item in client.conversations.items.list(conversation.id, order="asc")]
    check(listed, [f"once {at}" for at in range(5)])


class Script(Model):
    """A model that answers from a script."""

    def __init__(self, outputs):
        self.outputs = list(outputs)
        self.inputs = []

    async def get_response(self, system_instructions, input, *args, **kwargs):
        self.inputs.append(input)
        return ModelResponse(output=self.outputs.pop(0), usage=Usage(), response_id=None)

    def stream_response(self, *args, **kwargs):
        raise AssertionError("the conversation does not stream")


def says(words, id):
    content = [ResponseOutputText(type="output_text", text=words, annotations=[])]
    return ResponseOutputMessage(id=id, type="message", role="assistant", status="completed", content=content)


@function_tool
def weather(city: str) -> str:
    return f"sunny in {city}"


async def session():
    client = AsyncOpenAI(base_url=BASE_URL, api_key=TOKEN)
    session = OpenAIConversationsSession(openai_client=client)
    call = ResponseFunctionToolCall(
        id="fc_1", type="function_call", call_id="call_1", name="weather", arguments='{"city": "Lisbon"}', status="completed"
    )
    thought = ResponseReasoningItem(id="rs_1", type="reasoning", summary=[], encrypted_content="gAAA")
    model = Script([[thought, call], [says("It is sunny.", "msg_1")], [says("You asked about Lisbon.", "msg_2")]])
    agent = Agent(name="guide", model=model, tools=[weather])
    config = RunConfig(tracing_disabled=True)
    first = await Runner.run(agent, "How is the weather?", session=session, run_config=config)
    check(first.final_output, "It is sunny.")
    second = await Runner.run(agent, "Which city?", session=session, run_config=config)
    check(second.final_output, "You asked about Lisbon.")

    # The model saw the whole history of the first run in the second one.
    kinds = [(item.get("type", "message"), item.get("role")) for item in model.inputs[2]]
    check(
        kinds,
        [
            ("message", "user"),
            ("reasoning", None),
            ("function_call", None),
            ("function_call_output", None),
            ("message", "assistant"),
            ("message", "user"),
        ],
    )
    check(model.inputs[2][1]["encrypted_content"], "gAAA")
    check(model.inputs[2][3]["output"], "sunny in Lisbon")

    # A second session on the same conversation, as another process would have it.
    other = OpenAIConversationsSession(conversation_id=session.session_id, openai_client=client)
    items = await other.get_items()
    check(len(items), 7)
    check([item["content"][0]["text"] for item in await other.get_items(limit=2)], ["Which city?", "You asked about Lisbon."])
    popped = await other.pop_item()
    check(popped["content"][0]["text"], "You asked about Lisbon.")
    await other.add_items([popped])
    check((await session.get_items())[-1]["content"], popped["content"])
    await other.add_items([{"role": "user", "content": f"{at}"} for at in range(45)])
    check(len(await session.get_items()), 52)
    conversation = session.session_id
    await session.clear_session()
    try:
        await client.conversations.retrieve(conversation)
        raise AssertionError("the conversation was not deleted")
    except openai.NotFoundError:
        pass
    check(await session.get_items(), [])


set_tracing_disabled(True)
conversations()
errors()
lost_answers()
asyncio.run(session())
print("the official clients ran the scripted conversation")
