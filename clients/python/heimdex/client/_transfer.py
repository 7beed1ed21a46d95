"""Transfer: a file's bytes -> a presigned PUT, from a thread, in bounded memory."""

from __future__ import annotations

import hashlib
import http.client
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from heimdex.client.errors import TransferFailed
from heimdex.upload.v1.upload_service_pb2 import SignedRequest

CHUNK_BYTES = 256 * 1024
PART_SIZE_BYTES = 16 * 1024 * 1024
"""Part size that part digests are made for; the server's default."""
_TIMEOUT_S = 60.0
_PRECONDITION_FAILED = 412


class Expired(Exception):
    """The URL is too old (403): ask for a fresh one."""


def digests(path: Path, part_size_bytes: int) -> tuple[int, str, list[str]]:
    """Return the size of a file, its SHA-256 and that of each of its parts, lower-case hex; no parts up to one size."""
    total, whole, parts = 0, hashlib.sha256(), []
    with path.open("rb") as file:
        while True:
            part, size = hashlib.sha256(), 0
            while size < part_size_bytes and (chunk := file.read(min(CHUNK_BYTES, part_size_bytes - size))):
                whole.update(chunk)
                part.update(chunk)
                size += len(chunk)
            if not size:
                break
            parts.append(part.hexdigest())
            total += size
    return total, whole.hexdigest(), parts if len(parts) > 1 else []


def put(
    request: SignedRequest,
    path: Path,
    *,
    offset_bytes: int,
    size_bytes: int,
    sent: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """PUT ``size_bytes`` from ``offset_bytes`` of a file; 412 means the bytes are there already.

    Args:
        sent: called with the size of each chunk.
        stop: ends the transfer with TransferFailed.

    Raises:
        Expired: the URL is too old.
        TransferFailed: the store refused (permanent) or the connection broke (transient).
    """
    url = urllib.parse.urlsplit(request.url)
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.netloc, timeout=_TIMEOUT_S)
    try:
        with path.open("rb") as file:
            file.seek(offset_bytes)
            headers = {**request.headers, "Content-Length": str(size_bytes)}
            connection.request(
                request.method, f"{url.path}?{url.query}", _chunks(file, size_bytes, sent, stop), headers
            )
            response = connection.getresponse()
            body = response.read(2048).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise TransferFailed(f"the connection to object storage broke: {error}") from error
    finally:
        connection.close()
    if response.status in (200, 201, 204, _PRECONDITION_FAILED):
        return
    if response.status == http.client.FORBIDDEN and "xpired" in body:
        raise Expired
    raise TransferFailed(f"object storage refused the bytes: {response.status} {body[:300]}", reason="TRANSFER_REFUSED")


def _chunks(file: object, size_bytes: int, sent: Callable[[int], None], stop: threading.Event) -> Iterator[bytes]:
    left = size_bytes
    while left:
        if stop.is_set():
            raise TransferFailed("stopped")
        chunk = file.read(min(CHUNK_BYTES, left))  # type: ignore[attr-defined]
        if not chunk:
            raise TransferFailed("the file became shorter while it was read", reason="FILE_CHANGED")
        left -= len(chunk)
        yield chunk
        sent(len(chunk))
