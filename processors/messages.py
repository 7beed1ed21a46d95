"""Messages: what the artifacts of all stages share: message <-> bytes, vectors, tags. Pure."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from contracts.errors import BadArtifact
from contracts.ports import Float32, Tag
from heimdex.scene.v1 import scene_pb2

Parsed = TypeVar("Parsed", bound=Message)


def serialise(message: Message) -> bytes:
    """Return the bytes of a message; the same message gives the same bytes."""
    return message.SerializeToString(deterministic=True)


def parse(kind: type[Parsed], body: bytes) -> Parsed:
    """Return the message in ``body``. Raises: BadArtifact (permanent) when it is none."""
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise BadArtifact(f"an artifact is no {kind.DESCRIPTOR.name}") from error


def pack(vector: Float32) -> bytes:
    """Return the little-endian bytes of a float32 vector."""
    return vector.astype("<f4", copy=False).tobytes()


def unpack(body: bytes, dim: int) -> Float32:
    """Return the read-only float32 vector (dim,) in ``body``. Raises: BadArtifact (permanent) for another length."""
    if len(body) != 4 * dim:
        raise BadArtifact(f"a vector has {len(body)} bytes, not {dim} float32")
    vector: Float32 = np.frombuffer(body, "<f4").astype(np.float32, copy=False)
    return vector


def to_tag(tag: Tag, kind: scene_pb2.TagKind.ValueType) -> scene_pb2.Tag:
    """Return a tag as a message."""
    return scene_pb2.Tag(tag=tag.tag, names=tag.names, score=tag.score, kind=kind)


def from_tag(tag: scene_pb2.Tag) -> Tag:
    """Return the tag in a message."""
    return Tag(tag.tag, tuple(tag.names), tag.score)
