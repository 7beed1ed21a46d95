"""Scope: tenants, videos and rows -> filters and partitions of Milvus. Pure; no text of a user goes in unquoted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from contracts.ports import EVERYWHERE, Scope

TENANT_BUCKETS = 16
"""Partitions of a collection on Milvus Lite. It never changes for a collection that has rows."""

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def quoted(text: str) -> str:
    """Return a string literal of Milvus' filter language. Milvus Lite has no templates to do it."""
    return f'"{text.translate(_ESCAPES)}"'


def only(row_ids: Iterable[str]) -> str:
    """Return a filter of rows by id alone: of whatever tenant, so look at whose they are."""
    return f"row_id in [{', '.join(map(quoted, row_ids))}]"


def within(tenant_id: str, scope: Scope = EVERYWHERE, *, row_ids: Iterable[str] = ()) -> str:
    """Return a filter: of the tenant, within the scope, and any of the rows where some are given."""
    terms = [f"tenant_id == {quoted(tenant_id)}"]
    for field, values in (("video_id", scope.video_ids), ("row_id", row_ids)):
        listed = ", ".join(map(quoted, values))
        if listed:
            terms.append(f"{field} in [{listed}]")
    if scope.start_from_ms is not None:
        terms.append(f"start_ms >= {scope.start_from_ms:d}")
    if scope.start_to_ms is not None:
        terms.append(f"start_ms < {scope.start_to_ms:d}")
    return " and ".join(terms)


def bucket(tenant_id: str) -> str:
    """Return the partition of a tenant on Milvus Lite; it shares it with others, so the filter is always there too."""
    digest = hashlib.sha256(tenant_id.encode()).digest()
    return bucket_name(int.from_bytes(digest[:4], "big") % TENANT_BUCKETS)


def bucket_name(number: int) -> str:
    """Return the name of a partition."""
    return f"tenants_{number:02d}"
