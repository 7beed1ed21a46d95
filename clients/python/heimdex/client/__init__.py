"""Python SDK of Heimdex: upload videos, watch them become searchable, find their scenes.

from pathlib import Path
from heimdex.client import Client

with Client() as heimdex:
    video = heimdex.upload(Path("talk.mp4")).video_id
    for state in heimdex.watch_video(video): ...
    *_, done = heimdex.search("오바마가 웃는 장면")
    for hit in done.hits: ...
"""

from heimdex.client._async import AsyncClient, Uploaded
from heimdex.client._sync import Client, Stream
from heimdex.client.config import Config, NotConfigured, default_home, load
from heimdex.client.errors import (
    AlreadyExists,
    Cancelled,
    Closed,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    HeimdexError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TransferFailed,
    Unauthenticated,
    Unavailable,
)
from heimdex.client.filters import Narrowed

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "Cancelled",
    "Client",
    "Closed",
    "Config",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FieldViolation",
    "HeimdexError",
    "InvalidArgument",
    "Narrowed",
    "NotConfigured",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Stream",
    "TransferFailed",
    "Unauthenticated",
    "Unavailable",
    "Uploaded",
    "default_home",
    "load",
]
