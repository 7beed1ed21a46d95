"""Memory objects: ``contracts.ports.Objects`` in a dict, with versions and conditions, for tests."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from adapters.objects.keys import require_key
from contracts.errors import NotFound, PreconditionFailed
from contracts.ports import ObjectInfo, Part, SignedUrl

_OK, _BAD, _FORBIDDEN, _ABSENT, _CONDITION = 200, 400, 403, 404, 412


@dataclass(frozen=True, slots=True)
class _Version:
    body: bytes
    content_type: str = ""


@dataclass(slots=True)
class _Multipart:
    key: str
    content_type: str
    checksums: bool
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryObjects:
    """One versioned bucket of one process; every method takes effect at one moment of the event loop."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(16)
        self._versions: dict[str, list[_Version]] = {}
        self._multiparts: dict[str, _Multipart] = {}
        self._opened = 0

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of ``key``; None if it does not exist."""
        version = self._newest(key)
        return None if version is None else _info(key, version)

    async def get(self, key: str, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Return the whole object."""
        version = self._newest(key)
        if version is None:
            raise NotFound("object", key)
        info = _info(key, version)
        if if_match is not None and info.etag != if_match:
            raise PreconditionFailed(f"object {key!r} is not in the state asked for")
        return version.body, info

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        if_none_match: bool = False,
        if_match: str | None = None,
    ) -> ObjectInfo:
        """Write the whole object, conditionally if asked."""
        require_key(key)
        there = await self.head(key)
        if (if_none_match and there is not None) or (
            if_match is not None and (there is None or there.etag != if_match)
        ):
            raise PreconditionFailed(f"object {key!r} is not in the state asked for")
        version = _Version(bytes(body), content_type)
        self._versions.setdefault(key, []).append(version)
        return _info(key, version)

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        """Write the object to ``path`` by way of a file beside it."""
        body, info = await self.get(key, if_match=if_match)
        part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")

        def work() -> None:
            try:
                part.write_bytes(body)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

        await asyncio.to_thread(work)
        return info

    async def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        """Write a file's bytes to ``key``."""
        return await self.put(key, await asyncio.to_thread(path.read_bytes), content_type=content_type)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield every object under ``prefix``, in key order."""
        for key in sorted(self._versions):
            if key.startswith(prefix) and (info := await self.head(key)):
                yield info

    async def purge(self, prefix: str) -> int:
        """Remove every version and open multipart upload under ``prefix``."""
        for multipart_id in [i for i, m in self._multiparts.items() if m.key.startswith(prefix)]:
            del self._multiparts[multipart_id]
        gone = [self._versions.pop(key) for key in list(self._versions) if key.startswith(prefix)]
        return sum(map(len, gone))

    async def sign_get(self, key: str, *, ttl_s: int, content_type: str | None = None) -> SignedUrl:
        """Return a URL for ``send``."""
        return self._sign("GET", key, ttl_s, {}, {"type": content_type or ""})

    async def sign_put(self, key: str, *, ttl_s: int, size_bytes: int, sha256_hex: str, content_type: str) -> SignedUrl:
        """Return a URL for ``send``."""
        require_key(key)
        headers = {
            "content-length": str(size_bytes),
            "content-type": content_type,
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256_hex)).decode(),
            "if-none-match": "*",
        }
        return self._sign("PUT", key, ttl_s, headers, {})

    async def create_multipart(self, key: str, *, content_type: str, checksums: bool = True) -> str:
        """Open a multipart upload."""
        require_key(key)
        self._opened += 1
        self._multiparts[f"multipart-{self._opened}"] = _Multipart(key, content_type, checksums)
        return f"multipart-{self._opened}"

    async def sign_part(
        self, key: str, multipart_id: str, number: int, *, ttl_s: int, size_bytes: int, sha256_hex: str | None
    ) -> SignedUrl:
        """Return a URL for ``send``."""
        headers = {"content-length": str(size_bytes)}
        if sha256_hex is not None:
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256_hex)).decode()
        return self._sign("PUT", key, ttl_s, headers, {"uploadId": multipart_id, "partNumber": str(number)})

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[Part]:
        """Return received parts in order of number."""
        multipart = self._multipart(key, multipart_id)
        return [Part(number, _etag(body), len(body)) for number, body in sorted(multipart.parts.items())]

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> ObjectInfo:
        """Join the parts."""
        multipart = self._multipart(key, multipart_id)
        for part in parts:
            if part.number not in multipart.parts or _etag(multipart.parts[part.number]) != part.etag:
                raise PreconditionFailed(f"part {part.number} of {key!r} is not the one received")
        body = b"".join(multipart.parts[part.number] for part in parts)
        info = await self.put(key, body, content_type=multipart.content_type)
        del self._multiparts[multipart_id]
        return info

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Drop a multipart upload."""
        with contextlib.suppress(NotFound):
            self._multipart(key, multipart_id)
            del self._multiparts[multipart_id]

    async def send(self, url: str, method: str, headers: Mapping[str, str], body: bytes) -> int:
        """Answer a presigned request as a store does; return the HTTP status."""
        parts = urlsplit(url)
        signed, _, signature = parts.query.rpartition("&signature=")
        query = dict(parse_qsl(signed, keep_blank_values=True))
        wanted = {name.removeprefix("h-"): value for name, value in query.items() if name.startswith("h-")}
        sent = {name.lower(): value for name, value in headers.items()}
        if (
            not hmac.compare_digest(signature, self._signature(parts.path, signed))
            or method != query["method"]
            or float(query["expires"]) < time.time()
            or any(sent.get(name) != value for name, value in wanted.items())
        ):
            return _FORBIDDEN
        if (
            int(wanted.get("content-length", len(body))) != len(body)
            or wanted.get("x-amz-checksum-sha256", _checksum(body)) != _checksum(body)
            or ("uploadId" in query and not self._as_declared(query["uploadId"], wanted))
        ):
            return _BAD
        try:
            await self._serve(method, unquote(parts.path.lstrip("/")), query, body)
        except NotFound:
            return _ABSENT
        except PreconditionFailed:
            return _CONDITION
        return _OK

    def _as_declared(self, multipart_id: str, headers: Mapping[str, str]) -> bool:
        multipart = self._multiparts.get(multipart_id)
        return multipart is None or multipart.checksums == ("x-amz-checksum-sha256" in headers)

    async def _serve(self, method: str, key: str, query: Mapping[str, str], body: bytes) -> None:
        if method == "GET":
            await self.get(key)
        elif "uploadId" in query:
            self._multipart(key, query["uploadId"]).parts[int(query["partNumber"])] = body
        else:
            await self.put(key, body, content_type=query["h-content-type"], if_none_match=True)

    def _newest(self, key: str) -> _Version | None:
        versions = self._versions.get(key)
        return versions[-1] if versions else None

    def _multipart(self, key: str, multipart_id: str) -> _Multipart:
        multipart = self._multiparts.get(multipart_id)
        if multipart is None or multipart.key != key:
            raise NotFound("multipart upload", key)
        return multipart

    def _sign(
        self, method: str, key: str, ttl_s: int, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> SignedUrl:
        expires_s = time.time() + ttl_s
        path = f"/{quote(key)}"
        values = {"method": method, "expires": str(expires_s), **query}
        signed = urlencode(values | {f"h-{name}": value for name, value in headers.items()})
        url = f"memory://{path}?{signed}&signature={self._signature(path, signed)}"
        return SignedUrl(url, method, headers, int(expires_s * 1000))

    def _signature(self, path: str, query: str) -> str:
        return hmac.digest(self._secret, f"{path}?{query}".encode(), "sha256").hex()


def _checksum(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


def _etag(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _info(key: str, version: _Version) -> ObjectInfo:
    return ObjectInfo(key, len(version.body), _etag(version.body), version.content_type)
