"""The kinds of items of the OpenAI APIs: messages of the user, and calls of a tool with its name."""

from __future__ import annotations

import json
from collections.abc import Mapping

# The tools that have no name of their own: their type is their name.
_NAMED_BY_TYPE = {
    "computer_call",
    "file_search_call",
    "web_search_call",
    "code_interpreter_call",
    "shell_call",
    "apply_patch_call",
}

_SEARCHES = {"tool_search_call", "tool_search_output"}

# The tools of a server of the Model Context Protocol.
_OF_SERVER = {"mcp_call", "mcp_approval_request"}

_CALLS = {"tool_call", "function_call", "custom_tool_call", "tool_search_call"} | _NAMED_BY_TYPE | _OF_SERVER


def is_user(item: object) -> bool:
    """Whether an item is a message of the user, which begins a turn."""
    return isinstance(item, Mapping) and item.get("role") == "user"


def type_of(item: object) -> str:
    """Returns ``user`` or ``assistant`` for their messages, otherwise the type of the item, and ``other`` without one."""
    if not isinstance(item, Mapping):
        return "other"
    role = item.get("role")
    if role in ("user", "assistant"):
        return str(role)
    return str(item["type"]) if item.get("type") else "other"


def tool_of(item: object) -> str | None:
    """Returns the name of the tool that an item names: with its server or namespace before it, if the item has one."""
    if not isinstance(item, Mapping):
        return None
    kind, name = item.get("type"), item.get("name")
    if kind in _OF_SERVER and "server_label" in item:
        return ".".join(str(part) for part in (item["server_label"], name) if part) or None
    if kind in _SEARCHES:
        return "tool_search"
    if kind in _NAMED_BY_TYPE:
        return str(kind)
    if name is None:
        return None
    namespace = item.get("namespace")
    if namespace is None or not str(namespace).strip() or namespace == name:
        return str(name)
    return f"{namespace}.{name}"


def call_of_tool(item: object) -> str | None:
    """Returns the name of the tool that an item calls. ``None`` if it is no call."""
    return tool_of(item) if type_of(item) in _CALLS else None


def preview(content: object, length: int | None) -> str:
    """Returns the content of a message as text, shortened to ``length`` characters."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return f"{text[:length]}..." if length is not None and len(text) > length else text


def texts_of(item: Mapping[str, object]) -> list[str]:
    """Returns the texts in the content of a message."""
    content = item.get("content", "")
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        return []
    texts = (part.get("text", "") for part in content if isinstance(part, Mapping))
    return [text for text in texts if isinstance(text, str)]
