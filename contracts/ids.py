"""Ids: names of things -> deterministic ids, object keys and specs. Pure; ASCII; no user text in a key."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable, Mapping

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
ID_PATTERN = re.compile(r"^(vid|upl|scn|per|qry)_[0-9a-z]{16,40}$")
MAX_SUBJECT_LENGTH = 255
"""Of a user's id, ``sub`` of a token. Source: OpenID Connect Core 1.0, 2."""

TENANT_PATTERN = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")


def _base32(number: int, length: int) -> str:
    out = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        out.append(_CROCKFORD[digit])
    return "".join(reversed(out))


def new_id(prefix: str) -> str:
    """Return a new id that sorts by time: prefix, 10 digits of Unix ms, 16 random digits (80 bit)."""
    return f"{prefix}_{_base32(time.time_ns() // 1_000_000, 10)}{_base32(secrets.randbits(80), 16)}"


def digest_id(prefix: str, *parts: str) -> str:
    """Return the same id for the same parts (130 bit of SHA-256)."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return f"{prefix}_{_base32(int.from_bytes(digest[:17], 'big') >> 6, 26)}"


def scene_id(video_id: str, start_ms: int, end_ms: int) -> str:
    """Return the id of a scene: the same cuts give the same id in every revision."""
    return digest_id("scn", video_id, str(start_ms), str(end_ms))


def row_id(scene: str, revision: int) -> str:
    """Return the id of a scene's row in Milvus and OpenSearch."""
    return f"{scene}:{revision}"


def split_row_id(row: str) -> tuple[str, int]:
    """Return (scene_id, revision) of a row id."""
    scene, _, revision = row.rpartition(":")
    return scene, int(revision)


def scene_of_row(row: str) -> str:
    """Return the scene id of a row id: the same in every revision with the same cuts."""
    return row.partition(":")[0]


def tag_name(tag: str) -> str:
    """Return a tag's id as a name: who knows the ids finds by them."""
    return tag.replace("_", " ")


def view_id(row: str, view: int) -> str:
    """Return the id of one of a scene's vectors, by number: the first has the row's own."""
    return f"{row}#{view}" if view else row


def split_view_id(view: str) -> tuple[str, int]:
    """Return (row id, number) of a vector's id."""
    row, _, number = view.partition("#")
    return row, int(number or 0)


def event_id(video_id: str, revision: int, stage: str, spec: str) -> str:
    """Return the CloudEvents id of a stage fact: the same for a re-emission."""
    return f"{video_id}:{revision}:{stage}:{spec}"


def spec(
    *,
    source_sha256: str,
    stage: str,
    schema_version: int,
    model_version: str,
    settings: Mapping[str, str],
    upstream: Iterable[str],
    salt: str = "",
) -> str:
    """Return what pins a stage's work: 16 hex digits of SHA-256 over everything that changes its result.

    Args:
        settings: name -> value, in any order.
        upstream: specs of the stages waited for, in the order of the flow table.
        salt: forces a new run of the same work.
    """
    parts = [source_sha256, stage, str(schema_version), model_version, salt]
    parts += [f"{k}={settings[k]}" for k in sorted(settings)]
    parts += list(upstream)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


# Object keys. Leaves are files, never also folders (the local S3 server keeps keys as paths).


def video_prefix(tenant_id: str, video_id: str) -> str:
    """Return the prefix of everything a video has in the bucket but its erasure gate."""
    return f"t/{tenant_id}/v/{video_id}/"


def source_key(tenant_id: str, video_id: str) -> str:
    """Return the key of the uploaded file."""
    return f"{video_prefix(tenant_id, video_id)}source/original"


def plan_key(tenant_id: str, video_id: str, revision: int) -> str:
    """Return the key of a revision's plan."""
    return f"{video_prefix(tenant_id, video_id)}plan/{revision:06d}/plan.pb"


def stage_prefix(tenant_id: str, video_id: str, stage: str, spec_: str) -> str:
    """Return the prefix of a stage run."""
    return f"{video_prefix(tenant_id, video_id)}stage/{stage}/{spec_}/"


def manifest_key(tenant_id: str, video_id: str, stage: str, spec_: str) -> str:
    """Return the key of a stage run's manifest."""
    return f"{stage_prefix(tenant_id, video_id, stage, spec_)}manifest.pb"


def blob_key(  # noqa: PLR0917  # the path, part by part
    tenant_id: str, video_id: str, stage: str, spec_: str, attempt: str, name: str
) -> str:
    """Return the key of a file of one try; ``attempt`` is unique to the try."""
    return f"{stage_prefix(tenant_id, video_id, stage, spec_)}b/{attempt}/{name}"


def lease_key(tenant_id: str, video_id: str, stage: str, spec_: str) -> str:
    """Return the key of a stage run's lease, in the lease bucket."""
    return f"{stage_prefix(tenant_id, video_id, stage, spec_)}lease.pb"


def gate_key(video_id: str) -> str:
    """Return the key of the erasure gate: no tenant, no personal data; it is kept."""
    return f"gate/{video_id}"


def upload_key(tenant_id: str, upload_id: str) -> str:
    """Return the key of an upload that is not a video."""
    return f"t/{tenant_id}/u/{upload_id}/original"
