"""Tries: keys of blobs and the manifests of a video -> the tries that came to nothing, by their prefixes. Pure.

A try puts its blobs under a prefix of its own and then its manifest; of two, only one manifest is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts import ids
from heimdex.events.v1 import manifest_pb2


@dataclass(frozen=True, slots=True, order=True)
class Try:
    """One try of a stage run that has put blobs."""

    noun: str
    spec: str
    attempt: str


def tries(tenant_id: str, video_id: str, keys: Iterable[str]) -> frozenset[Try]:
    """Return the tries that keys of a video's blobs belong to; other keys are left out."""
    prefix = f"{ids.video_prefix(tenant_id, video_id)}stage/"
    found = set()
    for key in keys:
        match key.removeprefix(prefix).split("/"):
            case [noun, spec, "b", attempt, _, *_] if key.startswith(prefix):
                found.add(Try(noun, spec, attempt))
    return frozenset(found)


def forgotten(
    tenant_id: str, video_id: str, made: Iterable[Try], manifests: Iterable[manifest_pb2.Manifest]
) -> tuple[str, ...]:
    """Return the prefixes, in order, of tries of which no manifest names a blob."""
    named = tries(tenant_id, video_id, (blob.key for manifest in manifests for blob in manifest.blobs))
    left = sorted(set(made) - named)
    return tuple(ids.blob_key(tenant_id, video_id, t.noun, t.spec, t.attempt, "") for t in left)
