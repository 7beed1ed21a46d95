"""Stores: what a video has left in each of them, seen from below the product."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.milvus import milvus
from tests.stack import Stack

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord


def leftovers(stack: Stack, tenant: str, video_id: str) -> dict[str, int]:
    """Return store -> how much of a video it still holds; only stores that hold something."""
    return asyncio.run(_leftovers(stack, tenant, video_id))


async def _leftovers(stack: Stack, tenant: str, video_id: str) -> dict[str, int]:
    import boto3
    from botocore.config import Config
    from opensearchpy import AsyncOpenSearch

    env = stack.environment()
    found: dict[str, int] = {}
    s3 = boto3.client(
        "s3",
        endpoint_url=env["HEIMDEX_S3_ENDPOINT"],
        region_name=env["HEIMDEX_S3_REGION"],
        aws_access_key_id=env["HEIMDEX_S3_ACCESS_KEY"],
        aws_secret_access_key=env["HEIMDEX_S3_SECRET_KEY"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    for bucket in (env["HEIMDEX_S3_BUCKET"], env["HEIMDEX_S3_LEASE_BUCKET"]):
        page = s3.list_object_versions(Bucket=bucket, Prefix=f"t/{tenant}/v/{video_id}/")
        count = len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))
        count += len(s3.list_objects_v2(Bucket=bucket, Prefix=f"t/{tenant}/v/{video_id}/").get("Contents", []))
        if count:
            found[bucket] = count
    async with AsyncOpenSearch(env["HEIMDEX_OPENSEARCH"]) as text:
        answer = await text.count(index="*", body={"query": {"term": {"video_id": video_id}}})
        if answer["count"]:
            found["opensearch"] = answer["count"]
    for name in ("HEIMDEX_MILVUS_TEXT", "HEIMDEX_MILVUS_VISION"):
        with milvus(env[name]) as client:
            for collection in client.list_collections():
                rows = client.query(collection, filter=f'video_id == "{video_id}"', output_fields=["video_id"])
                if rows:
                    found[f"{name}/{collection}"] = len(rows)
    return found


def tombstones(stack: Stack, scene_ids: Sequence[str]) -> set[str]:
    """Return which scenes have a tombstone as the last record of their key on the scene topic."""
    last = {(record.key or b"").decode(): record.value for record in asyncio.run(_records(stack, "heimdex-scene-v1"))}
    return {scene for scene in scene_ids if scene in last and last[scene] is None}


def told(stack: Stack, topic: str, tenant: str) -> list[bytes]:
    """Return what a topic says of a tenant; a key's in order."""
    records = asyncio.run(_records(stack, topic))
    return [record.value for record in records if dict(record.headers)["ce_tenantid"] == tenant.encode()]


async def _records(stack: Stack, topic: str) -> list[ConsumerRecord]:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=stack.environment()["HEIMDEX_KAFKA"], auto_offset_reset="earliest"
    )
    await consumer.start()
    read: list[ConsumerRecord] = []
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=500)).values():
                    read += records
    finally:
        await consumer.stop()
    return read
