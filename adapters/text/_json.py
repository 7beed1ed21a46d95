"""JSON: what OpenSearch is asked and answers, by orjson: the standard library took a twentieth of our time."""

from __future__ import annotations

from typing import Any

import orjson
from opensearchpy.exceptions import SerializationError
from opensearchpy.serializer import JSONSerializer


class Json(JSONSerializer):
    """The client's serializer. Raises SerializationError as its own does."""

    def loads(self, s: str) -> Any:
        """Return what an answer says."""
        try:
            return orjson.loads(s)
        except ValueError as error:
            raise SerializationError(s, error) from error

    def dumps(self, data: Any) -> str:
        """Return a request, or one line of it; text is one already."""
        if isinstance(data, str):
            return data
        try:
            return orjson.dumps(data).decode()
        except TypeError as error:
            raise SerializationError(data, error) from error
