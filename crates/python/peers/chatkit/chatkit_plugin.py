"""Replaces the store of ChatKit's own tests by the one of this package.

The published tests import two modules that the source distribution leaves out: `helpers.mock_store`, with the class
`SQLiteStore` that they test, and `tests._types`, with the context of a request. This plugin is both.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any

import peer_suite
import throughline
from throughline.adapters.chatkit import ChatKitStore, user_id


@dataclasses.dataclass(frozen=True)
class RequestContext:
    """The context of a request in the tests of the peer."""

    user_id: str


class SQLiteStore(ChatKitStore[Any]):
    """Our store under the name that the tests import. Its argument names a shared database in memory.

    All of them are in one store of the run, each with tenants of its own.
    """

    opened: throughline.Store | None = None
    cases: dict[str, str] = {}

    def __init__(self, db_path: str) -> None:
        peer_suite.used()
        self.db_path = db_path
        case = self.cases.setdefault(db_path, peer_suite.unique("chatkit"))
        super().__init__(peer_suite.location(), tenant=lambda context: f"{case}:{user_id(context)}")

    async def _open(self) -> throughline.Store:
        if SQLiteStore.opened is None:
            SQLiteStore.opened = await super()._open()
        return SQLiteStore.opened


def _module(name: str, **members: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module


_module("helpers")
_module("helpers.mock_store", SQLiteStore=SQLiteStore)
# The tests import each other as `tests.…`, from the folder in which pytest runs.
sys.path.insert(0, str(Path.cwd()))
_module("tests._types", RequestContext=RequestContext)
