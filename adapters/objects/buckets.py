"""Buckets: a connection -> the two buckets, made where they are missing: objects with versions, leases without."""

from __future__ import annotations

from adapters.objects.s3 import S3Connection


async def ensure_buckets(connection: S3Connection, bucket: str, lease_bucket: str) -> None:
    """Create what is missing. Safe to repeat, and from several processes at once."""
    await connection.call(lambda: _create(connection, bucket, versioned=True))
    await connection.call(lambda: _create(connection, lease_bucket, versioned=False))


def _create(connection: S3Connection, bucket: str, *, versioned: bool) -> None:
    client = connection.client
    try:
        client.create_bucket(Bucket=bucket)
    except (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
        pass
    if versioned:
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
