"""Adapters: each module keeps the conversations of one peer in a Throughline store.

| module | class | of the peer |
|---|---|---|
| ``openai_agents`` | ``ThroughlineSession``, ``BranchingSession`` | a ``Session`` of the OpenAI Agents SDK |
| ``openai_messages`` | ``MessageHistory`` | the plain list of messages of the OpenAI clients |
| ``langgraph`` | a checkpoint saver and a store | LangGraph |
| ``chatkit`` | a ``Store`` | ChatKit |
| ``pydantic_ai`` | a message history | Pydantic AI |

A module imports its peer only when it needs a class of it, so that this package depends on none of them.
"""
