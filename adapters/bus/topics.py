"""Topics: ``contracts.flow.TOPICS`` -> topics of a broker, made where they are missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from contracts import flow
from contracts.errors import DependencyUnavailable, PreconditionFailed

_TIMEOUT_MS = 15_000
_VISIBLE_S = 15.0
_LOOK_S = 0.1

_COMPACTED: Mapping[str, str] = MappingProxyType({
    "cleanup.policy": flow.Cleanup.COMPACT.value,
    # Kafka leaves the segment that it writes as it is, and half of a log: for weeks, as its own settings are.
    "segment.ms": str(flow.DAY_MS),
    "max.compaction.lag.ms": str(flow.DAY_MS),
    "delete.retention.ms": str(7 * flow.DAY_MS),  # a reader may be late with tombstones as with anything else
})  # fmt: skip
"""What is erased leaves a compacted topic within two days, by the next record of its partition at the latest."""

_OF_TOPIC = 1
"""``config_source`` of what was set for this very topic. Source: KIP-226."""


async def ensure_topics(bootstrap: str, *, prefix: str, partitions: int, replicas: int = 1) -> None:
    """Create what is missing and return when the broker tells of every topic. Safe to repeat.

    A compacted topic that is there gets what makes it forget, but where its operator has set that otherwise.

    Args:
        partitions: of every topic.
        replicas: replication factor of new topics.

    Raises:
        PreconditionFailed: a topic has another number of partitions (permanent: keys would move).
        DependencyUnavailable: the broker does not answer (transient).
    """
    wanted = {f"{prefix}{topic.name}": topic for topic in flow.TOPICS.values()}
    async with _admin(bootstrap) as admin:
        have = await _partition_counts(admin, wanted)
        _check(have, partitions)
        missing = [_new(name, topic, partitions, replicas) for name, topic in wanted.items() if name not in have]
        if missing:
            answer = await admin.create_topics(missing, timeout_ms=_TIMEOUT_MS)
            for name, code, *message in answer.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    detail = message[0] if message and message[0] else error.__name__
                    raise DependencyUnavailable("kafka", f"topic {name} was not created: {detail}")
        async with asyncio.timeout(_VISIBLE_S):
            while len(have := await _partition_counts(admin, wanted)) < len(wanted):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(_LOOK_S)
        _check(have, partitions)
        await _make_forget(admin, [name for name, topic in wanted.items() if topic.cleanup is flow.Cleanup.COMPACT])


async def topics_present(bootstrap: str, *, prefix: str, names: Iterable[str] = flow.TOPICS) -> bool:
    """Return whether the topics are there. Raises DependencyUnavailable when the broker does not answer."""
    wanted = [f"{prefix}{name}" for name in names]
    async with _admin(bootstrap) as admin:
        return len(await _partition_counts(admin, wanted)) == len(wanted)


async def delete_topics(bootstrap: str, *, prefix: str) -> None:
    """Delete every topic of the flow under a prefix that is not empty: for what was only a trial."""
    if not prefix:
        raise PreconditionFailed("only prefixed topics are deleted")
    async with _admin(bootstrap) as admin:
        have = await _partition_counts(admin, [f"{prefix}{name}" for name in flow.TOPICS])
        if have:
            await admin.delete_topics(list(have), timeout_ms=_TIMEOUT_MS)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=_TIMEOUT_MS)
    try:
        await admin.start()
        yield admin
    except (KafkaError, TimeoutError) as error:
        raise DependencyUnavailable("kafka", f"Kafka does not answer ({type(error).__name__})") from error
    finally:
        await admin.close()


async def _partition_counts(admin: Any, names: Iterable[str]) -> dict[str, int]:
    """Return the partition count of those that exist."""
    existing = set(await admin.list_topics()).intersection(names)
    if not existing:
        return {}
    told = await admin.describe_topics(sorted(existing))
    return {topic["topic"]: len(topic["partitions"]) for topic in told if not topic["error_code"]}


def _check(have: Mapping[str, int], partitions: int) -> None:
    wrong = [
        f"{name} has {count} partitions, not {partitions}"
        for name, count in sorted(have.items())
        if count != partitions
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more topics" if len(wrong) > 1 else ""
        raise PreconditionFailed(f"{wrong[0]}{more}: set HEIMDEX_TOPIC_PARTITIONS to what is there")


def _new(name: str, topic: flow.Topic, partitions: int, replicas: int) -> NewTopic:
    own = _COMPACTED if topic.cleanup is flow.Cleanup.COMPACT else {"cleanup.policy": topic.cleanup.value}
    configs = {**own, "retention.ms": str(topic.retention_ms)}
    return NewTopic(name, partitions, replicas, topic_configs=configs)


async def _make_forget(admin: Any, names: Iterable[str]) -> None:
    for name in names:
        topic = ConfigResource(ConfigResourceType.TOPIC, name)
        [told] = await admin.describe_configs([topic])
        own = {entry[0]: entry[1] for entry in told.resources[0][4] if entry[3] == _OF_TOPIC}
        if not own.keys() >= _COMPACTED.keys():  # the request replaces all of them
            topic = ConfigResource(ConfigResourceType.TOPIC, name, configs={**_COMPACTED, **own})
            [altered] = await admin.alter_configs([topic])
            code, message = altered.resources[0][:2]
            if code:
                raise DependencyUnavailable("kafka", f"topic {name} was not configured: {message or for_code(code)}")
