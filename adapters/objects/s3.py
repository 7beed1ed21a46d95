"""S3 objects: ``contracts.ports.Objects`` on any S3 with conditional writes, by boto3 in a bounded pool of threads."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from adapters.objects.keys import require_key
from contracts.errors import DependencyUnavailable, HeimdexError, NotFound, PreconditionFailed
from contracts.ports import ObjectInfo, Part, SignedUrl

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ObjectIdentifierTypeDef

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20
_PAGE = 1000  # the most that one list or delete call takes
_CONFLICT_TRIES = 5
_CONFLICT_WAIT_S = 0.1
_ABSENT = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
_CONDITION = frozenset({"412", "PreconditionFailed", "InvalidPart", "InvalidPartOrder", "EntityTooSmall"})
_CONFLICT = frozenset({"409", "ConditionalRequestConflict", "OperationAborted"})


@dataclass(frozen=True, slots=True)
class S3Endpoint:
    """Where an S3 is and how to sign.

    Attributes:
        endpoint: URL that our processes use.
        public_endpoint: URL that clients use; only presigned URLs carry it.
    """

    endpoint: str
    public_endpoint: str
    region: str
    access_key: str
    secret_key: str


class S3Connection:
    """Clients and threads of one process; its buckets share them."""

    def __init__(self, endpoint: S3Endpoint, *, threads: int = 8) -> None:
        self.client = _client(endpoint, endpoint.endpoint, threads)
        self.public = self.client
        if endpoint.public_endpoint != endpoint.endpoint:
            self.public = _client(endpoint, endpoint.public_endpoint, threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="s3")
        self._signing = ThreadPoolExecutor(1, thread_name_prefix="s3-sign")  # needs no server, so waits for none

    def bucket(self, name: str) -> S3Objects:
        """Return the objects of a bucket."""
        return S3Objects(self, name)

    async def call(self, work: Callable[[], T], *, key: str = "") -> T:
        """Run blocking work (on ``key``, a prefix or a bucket) in a thread of ours; raise the port's errors."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: _mapped(key, work))

    async def sign(self, work: Callable[[], T], *, key: str) -> T:
        """Run work on ``key`` that asks no server, as ``call``."""
        return await asyncio.get_running_loop().run_in_executor(self._signing, lambda: _mapped(key, work))

    def close(self) -> None:
        """Close clients; calls under way end by themselves."""
        self._signing.shutdown(wait=False, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()
        self.public.close()


class S3Objects:
    """One bucket. See the port for what each method promises."""

    def __init__(self, connection: S3Connection, bucket: str) -> None:
        self._connection = connection
        self._s3 = connection.client
        self._bucket = bucket

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of ``key``; None if it does not exist."""
        try:
            answer = await self._call(key, lambda: self._s3.head_object(Bucket=self._bucket, Key=key))
        except NotFound:
            return None
        return _info(key, cast("Mapping[str, Any]", answer))

    async def get(self, key: str, *, if_match: str | None = None) -> tuple[bytes, ObjectInfo]:
        """Return the whole object."""

        def work() -> tuple[bytes, ObjectInfo]:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, **_if_match(if_match))
            with closing(answer["Body"]) as body:  # entered itself, it gives the stream that checks no length
                return body.read(), _info(key, cast("Mapping[str, Any]", answer))

        return await self._call(key, work)

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
        conditions = _if_match(if_match) | ({"IfNoneMatch": "*"} if if_none_match else {})

        def work() -> ObjectInfo:
            answer = self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=content_type, **conditions
            )
            return ObjectInfo(key, len(body), answer["ETag"].strip('"'), content_type)

        try:
            return await self._call(key, work)
        except NotFound as error:
            if if_match is None:
                raise
            raise PreconditionFailed(f"object {key!r} is gone") from error

    async def download(self, key: str, path: Path, *, if_match: str | None = None) -> ObjectInfo:
        """Write the object to ``path`` by way of a file beside it."""
        part = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")

        def work() -> ObjectInfo:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, **_if_match(if_match))
            try:
                with closing(answer["Body"]) as body, part.open("wb") as file:
                    for chunk in body.iter_chunks(_CHUNK_BYTES):
                        file.write(chunk)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            return _info(key, cast("Mapping[str, Any]", answer))

        return await self._call(key, work)

    async def upload(self, path: Path, key: str, *, content_type: str = "application/octet-stream") -> ObjectInfo:
        """Write a file's bytes to ``key``."""
        require_key(key)

        def work() -> ObjectInfo:
            with path.open("rb") as file:
                answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=file, ContentType=content_type)
                return ObjectInfo(key, file.tell(), answer["ETag"].strip('"'), content_type)

        return await self._call(key, work)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield every object under ``prefix``, in key order, a page at a time."""
        more: dict[str, Any] = {}
        while True:
            page = await self._call(
                prefix,
                partial(self._s3.list_objects_v2, Bucket=self._bucket, Prefix=prefix, MaxKeys=_PAGE, **more),
            )
            for entry in page.get("Contents", ()):
                yield ObjectInfo(entry["Key"], entry["Size"], entry["ETag"].strip('"'))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def purge(self, prefix: str) -> int:
        """Remove every version, delete marker and open multipart upload under ``prefix``."""
        await self._abort_all(prefix)
        removed = 0
        while True:
            page = await self._call(
                prefix,
                lambda: self._s3.list_object_versions(Bucket=self._bucket, Prefix=prefix, MaxKeys=_PAGE),
            )
            versions = page.get("Versions", [])
            found: list[ObjectIdentifierTypeDef] = [
                {"Key": each["Key"], "VersionId": each["VersionId"]}
                for each in (*versions, *page.get("DeleteMarkers", []))
            ]
            if not found:
                return removed
            await self._delete(found)
            removed += len(versions)

    async def sign_get(self, key: str, *, ttl_s: int, content_type: str | None = None) -> SignedUrl:
        """Presign a GET."""
        params: dict[str, Any] = {}
        if content_type is not None:
            params["ResponseContentType"] = content_type
        return await self._sign("get_object", "GET", key, ttl_s=ttl_s, params=params, headers={})

    async def sign_put(self, key: str, *, ttl_s: int, size_bytes: int, sha256_hex: str, content_type: str) -> SignedUrl:
        """Presign one single PUT that cannot replace anything and takes exactly the declared bytes."""
        require_key(key)
        digest = _base64_of(sha256_hex)
        return await self._sign(
            "put_object",
            "PUT",
            key,
            ttl_s=ttl_s,
            params={
                "ContentLength": size_bytes,
                "ContentType": content_type,
                "ChecksumSHA256": digest,
                "IfNoneMatch": "*",
            },
            headers={
                "content-length": str(size_bytes),
                "content-type": content_type,
                "x-amz-checksum-sha256": digest,
                "if-none-match": "*",
            },
        )

    async def create_multipart(self, key: str, *, content_type: str, checksums: bool = True) -> str:
        """Open a multipart upload. A store takes no part other than declared here: with its checksum, or without."""
        require_key(key)
        declared: dict[str, Any] = {"ChecksumAlgorithm": "SHA256"} if checksums else {}
        answer = await self._call(
            key,
            lambda: self._s3.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type, **declared
            ),
        )
        return answer["UploadId"]

    async def sign_part(
        self, key: str, multipart_id: str, number: int, *, ttl_s: int, size_bytes: int, sha256_hex: str | None
    ) -> SignedUrl:
        """Presign part ``number`` with its length and, when known, its checksum."""
        params: dict[str, Any] = {"UploadId": multipart_id, "PartNumber": number, "ContentLength": size_bytes}
        headers = {"content-length": str(size_bytes)}
        if sha256_hex is not None:
            params["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = _base64_of(sha256_hex)
        return await self._sign("upload_part", "PUT", key, ttl_s=ttl_s, params=params, headers=headers)

    async def list_parts(self, key: str, multipart_id: str) -> Sequence[Part]:
        """Return received parts in order of number."""
        return [
            Part(part["PartNumber"], part["ETag"].strip('"'), part["Size"])
            for part in await self._parts(key, multipart_id)
        ]

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> ObjectInfo:
        """Join the parts; the store compares their checksums with those it received."""
        received = {part["PartNumber"]: part for part in await self._parts(key, multipart_id)}
        chosen: list[CompletedPartTypeDef] = []
        for part in parts:
            entry: CompletedPartTypeDef = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
            checksum = received.get(part.number, {}).get("ChecksumSHA256")
            if checksum:
                entry["ChecksumSHA256"] = checksum
            chosen.append(entry)
        await self._call(
            key,
            lambda: self._s3.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=multipart_id,
                MultipartUpload={"Parts": chosen},
            ),
        )
        info = await self.head(key)
        if info is None:
            raise NotFound("object", key)
        return info

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Drop a multipart upload."""
        try:
            await self._call(
                key,
                lambda: self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=multipart_id),
            )
        except NotFound:
            return

    async def _parts(self, key: str, multipart_id: str) -> Sequence[Mapping[str, Any]]:
        parts: list[Mapping[str, Any]] = []
        while True:
            page = await self._call(
                key,
                partial(
                    self._s3.list_parts,
                    Bucket=self._bucket,
                    Key=key,
                    UploadId=multipart_id,
                    MaxParts=_PAGE,
                    PartNumberMarker=parts[-1]["PartNumber"] if parts else 0,
                ),
            )
            parts += cast("Sequence[Mapping[str, Any]]", page.get("Parts", ()))
            if not page.get("IsTruncated"):
                return parts

    async def _abort_all(self, prefix: str) -> None:
        more: dict[str, Any] = {}
        while True:
            page = await self._call(
                prefix, partial(self._s3.list_multipart_uploads, Bucket=self._bucket, Prefix=prefix, **more)
            )
            for upload in page.get("Uploads", ()):
                await self.abort_multipart(upload["Key"], upload["UploadId"])
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def _delete(self, objects: Sequence[ObjectIdentifierTypeDef]) -> None:
        answer = await self._call(
            "",
            lambda: self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}),
        )
        for error in answer.get("Errors", ()):
            if error.get("Code") not in _ABSENT:
                raise DependencyUnavailable("objects", f"cannot delete {error.get('Key')!r}: {error.get('Code')}")

    async def _sign(
        self,
        operation: str,
        method: str,
        key: str,
        *,
        ttl_s: int,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
    ) -> SignedUrl:
        expires_at_ms = (int(time.time()) + ttl_s) * 1000
        url = await self._connection.sign(
            lambda: self._connection.public.generate_presigned_url(
                operation, Params={"Bucket": self._bucket, "Key": key, **params}, ExpiresIn=ttl_s, HttpMethod=method
            ),
            key=key,
        )
        return SignedUrl(url, method, headers, expires_at_ms)

    async def _call(self, key: str, work: Callable[[], T]) -> T:
        return await self._connection.call(work, key=key)


def _client(endpoint: S3Endpoint, url: str, connections: int) -> S3Client:
    import boto3
    from botocore.config import Config

    client: S3Client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name=endpoint.region,
        aws_access_key_id=endpoint.access_key,
        aws_secret_access_key=endpoint.secret_key,
        config=Config(
            signature_version="s3v4",  # boto3 presigns with version 2 for a custom endpoint otherwise
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": 3},
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=connections,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    return client


def _mapped(key: str, work: Callable[[], T]) -> T:
    """Run ``work``, its errors mapped to the port's; writes that lost a race at the same instant are tried again."""
    from botocore.exceptions import BotoCoreError, ClientError

    for left in reversed(range(_CONFLICT_TRIES)):
        try:
            return work()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _CONFLICT and left:
                time.sleep(_CONFLICT_WAIT_S)
                continue
            raise _error(key, code) from error
        except BotoCoreError as error:
            raise DependencyUnavailable("objects", f"object store: {type(error).__name__}") from error
    raise AssertionError("unreachable")


def _error(key: str, code: str) -> HeimdexError:
    if code in _ABSENT:
        return NotFound("object", key)
    if code in _CONDITION:
        return PreconditionFailed(f"object {key!r} is not in the state asked for")
    return DependencyUnavailable("objects", f"object store refuses {key!r}: {code}")


def _if_match(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"IfMatch": f'"{etag}"'}


def _base64_of(sha256_hex: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256_hex)).decode()


def _info(key: str, answer: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        key,
        int(answer["ContentLength"]),
        str(answer["ETag"]).strip('"'),
        str(answer.get("ContentType", "application/octet-stream")),
    )
