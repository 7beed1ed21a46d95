"""Buckets: a connection -> the two buckets, made where they are missing: objects with versions, leases without."""

from __future__ import annotations

import contextlib

from adapters.objects.s3 import S3Connection


async def ensure_buckets(connection: S3Connection, bucket: str, lease_bucket: str) -> None:
    """Create what is missing. Safe to repeat, and from several processes at once.

    Raises: DependencyUnavailable (transient).
    """
    await connection.call(lambda: _create(connection, bucket, versioned=True), key=bucket)
    await connection.call(lambda: _create(connection, lease_bucket, versioned=False), key=lease_bucket)


def _create(connection: S3Connection, bucket: str, *, versioned: bool) -> None:
    client = connection.client
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        client.create_bucket(Bucket=bucket)
    if versioned:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
