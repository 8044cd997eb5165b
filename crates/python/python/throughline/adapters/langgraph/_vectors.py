"""The vectors of items: made from their texts by the host's embedding function, kept with the item, and compared one by
one.
"""

from __future__ import annotations

import binascii
import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from langgraph.store.base import Embeddings, IndexConfig, PutOp, ensure_embeddings, get_text_at_path, tokenize_path

from ... import sync
from ._calls import Call

#: An item's vectors by path, as JSON: 32-bit floats in base64.
Encoded = dict[str, str]

_WHOLE = "$"


class VectorIndex:
    """An embedding function and the fields that it embeds."""

    def __init__(self, config: IndexConfig) -> None:
        self.config: dict[str, Any] = {**config}
        self.embeddings: Embeddings = ensure_embeddings(config.get("embed"))
        self._fields = [_tokenized(path) for path in config.get("fields") or [_WHOLE]]

    def texts(self, put: PutOp) -> dict[str, str]:
        """The texts of an item by path."""
        if put.value is None or put.index is False:
            return {}
        fields = self._fields if put.index is None else [_tokenized(path) for path in put.index]
        texts: dict[str, str] = {}
        for path, tokens in fields:
            found = get_text_at_path(put.value, tokens)
            texts |= {f"{path}.{i}" if len(found) > 1 else path: text for i, text in enumerate(found)}
        return texts

    def embed(self, texts: Sequence[str]) -> Call:
        """The call of the embedding function for texts."""
        return self._call(
            lambda: self.embeddings.embed_documents(list(texts)), lambda: self.embeddings.aembed_documents(list(texts))
        )

    def embed_query(self, query: str) -> Call:
        """The call of the embedding function for a query."""
        return self._call(lambda: self.embeddings.embed_query(query), lambda: self.embeddings.aembed_query(query))

    @staticmethod
    def _call(blocking: Callable[[], Any], asynchronous: Callable[[], Any]) -> Call:
        return lambda store: blocking() if isinstance(store, sync.Store) else asynchronous()


def encode(vectors: Mapping[str, Iterable[float]]) -> Encoded:
    """Encodes vectors for the content of an item."""
    return {
        path: binascii.b2a_base64(array("f", vector).tobytes(), newline=False).decode()
        for path, vector in vectors.items()
    }


def similarity(query: Sequence[float], vectors: Encoded) -> float | None:
    """The greatest cosine similarity of a query and the vectors of an item. ``None`` for an item without vectors."""
    return max((_cosine(query, array("f", binascii.a2b_base64(text))) for text in vectors.values()), default=None)


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    norm = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / norm if norm else 0.0


def _tokenized(path: str) -> tuple[str, Any]:
    return path, path if path == _WHOLE else tokenize_path(path)
