"""Requests: a mutating call -> what makes it idempotent. Pure."""

from __future__ import annotations

import hashlib

from google.protobuf.message import Message

from contracts.catalog import Idempotency
from gateway import validation
from gateway.identity import Principal


def idempotency(who: Principal, method: str, request: Message) -> Idempotency:
    """Return the identity of a call with a ``request_id``: the same id with another content is refused for 24 h.

    Args:
        method: name of the RPC, such as ``DeleteVideo``.

    Raises:
        InvalidRequest: there is no good ``request_id``. Permanent.
    """
    request_id = validation.request_id(request.request_id)  # type: ignore[attr-defined]  # every mutating request has it
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
    return Idempotency(who.tenant_id, who.subject, method, request_id, digest)
