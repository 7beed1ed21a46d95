"""The law of events: one golden record a topic, read for ever and made the same again; headers, reasons, docs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from contracts import codec, errors, facts, flow
from contracts.ports import Record
from heimdex.common.v1 import common_pb2
from tests.contract.samples import GOLDEN, TOMBSTONE, expected_message, from_golden, samples

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))
VALUED = [name for name in NAMES if not name.endswith(TOMBSTONE)]

CLOUD_EVENT = [
    "ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "ce_tenantid", "content-type",
]  # fmt: skip
TRACED = "traceparent"
RETRIED = [codec.ATTEMPT, codec.NOT_BEFORE_MS, codec.STAGE, codec.REASON]


def golden(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return read


def record(name: str) -> Record:
    return from_golden(golden(name))


# ------------------------------------------------------------------------------------------- golden records


def test_every_topic_has_a_golden_record_and_nothing_else_has() -> None:
    assert set(NAMES) == set(flow.TOPICS) | {f"{facts.SCENE_TOPIC}.{TOMBSTONE}"}, "python -m tests.contract.samples"
    assert all(golden(name)["topic"] == name.removesuffix(f".{TOMBSTONE}") for name in NAMES)


@pytest.mark.parametrize("name", VALUED)
def test_a_golden_record_is_read_as_ever_and_encoded_to_the_same_bytes(name: str) -> None:
    it = record(name)
    message = codec.decode(it)
    assert message == expected_message(golden(name), type(message))
    assert message.SerializeToString(deterministic=True) == it.value


@pytest.mark.parametrize("name", NAMES)
def test_what_happened_is_told_with_the_same_bytes_and_headers_as_ever(name: str) -> None:
    assert samples()[name] == record(name)


@pytest.mark.parametrize("name", VALUED)
def test_a_field_that_a_later_version_adds_does_no_harm_and_is_kept(name: str) -> None:
    it = record(name)
    later = b"\xf2\x7e\x05later"  # field 2030, length-delimited
    assert it.value is not None
    message = codec.decode(Record(it.topic, it.key, it.value + later, it.headers))
    assert message.SerializeToString(deterministic=True) == it.value + later


@pytest.mark.parametrize("name", [n for n in VALUED if n not in flow.RETRY_TIERS and "-redo-" not in n])
def test_without_headers_the_topic_says_what_it_is(name: str) -> None:
    it = record(name)
    assert type(codec.decode(Record(it.topic, it.key, it.value))) is flow.TOPICS[name].message


# ------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize("name", VALUED)
def test_headers_are_those_of_cloud_events_in_binary_mode(name: str) -> None:
    it = record(name)
    message, headers = codec.decode(it), codec.headers(it)
    retried = RETRIED if name in flow.RETRY_TIERS or "-redo-" in name else []
    assert [header for header in headers if header != TRACED] == CLOUD_EVENT + retried
    assert (headers["ce_specversion"], headers["ce_source"]) == ("1.0", "heimdex")
    assert headers["ce_type"] == message.DESCRIPTOR.full_name
    assert headers["content-type"] == "application/protobuf"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", headers["ce_time"])
    assert headers["ce_subject"] == it.key
    assert headers["ce_tenantid"] == tenant_of(message)
    assert headers["ce_id"]


@pytest.mark.parametrize("name", VALUED)
def test_the_trace_of_a_run_goes_with_its_facts(name: str) -> None:
    it = record(name)
    context = getattr(codec.decode(it), "context", None)
    expected = context.root_traceparent if context is not None and name != flow.DEAD_LETTER else None
    assert codec.headers(it).get(TRACED) == expected


@pytest.mark.parametrize("name", VALUED)
def test_the_key_is_the_id_that_the_table_says(name: str) -> None:
    it = record(name)
    message: Any = codec.decode(it)
    of_message = {
        "video_id": lambda: message.context.video_id if hasattr(message, "context") else message.video_id,
        "person_id": lambda: message.person_id,
        "scene_id": lambda: message.scene.scene_id,
        "query_id": lambda: message.query_id,
    }
    assert it.key == of_message[flow.TOPICS[it.topic].key]()


def test_a_tombstone_says_whose_it_is_and_nothing_else() -> None:
    it = record(f"{facts.SCENE_TOPIC}.{TOMBSTONE}")
    assert it.value is None
    assert set(codec.headers(it)) == set(CLOUD_EVENT) - {"ce_time", "content-type"}
    assert codec.headers(it)["ce_subject"] == it.key
    assert codec.headers(it)["ce_tenantid"] == "acme"


def test_facts_that_differ_have_ids_that_differ() -> None:
    told = [it for it in samples().values() if it.topic not in flow.RETRY_TIERS and "-redo-" not in it.topic]
    ids = [codec.headers(it)["ce_id"] for it in told]
    assert len(set(ids)) == len(ids)


def tenant_of(message: Message) -> str:
    context = getattr(message, "context", None)
    return str(context.tenant_id if context is not None else message.tenant_id)  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- content

_IDS_KEYS_AND_DIGESTS = {
    "tenant_id", "video_id", "person_id", "plan_key", "root_traceparent", "spec", "manifest_key", "manifest_sha256",
    "message",  # of an error: English, without names or text of the user
    "key", "value",  # entries of counts and labels
    "consumer", "source_topic",
    "query_id", "scene_id",
    "query_hash",  # keyed: neither a list of likely queries nor another tenant's events tell the text
    "inputs", "ranking",  # names of ours
}  # fmt: skip


def texts(descriptor: Any) -> Iterator[FieldDescriptor]:
    """Yield every field below a message that can hold text or bytes."""
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.full_name != "google.protobuf.Timestamp":
            yield from texts(field.message_type)
        elif field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}:
            yield field


@pytest.mark.parametrize("topic", [t for t in flow.TOPICS.values() if t.retention_ms > 0], ids=lambda t: t.name)
def test_what_expires_carries_ids_keys_and_digests_only(topic: flow.Topic) -> None:
    found = list(texts(topic.message.DESCRIPTOR))
    assert {field.name for field in found} <= _IDS_KEYS_AND_DIGESTS
    blobs = [field.full_name for field in found if field.type == FieldDescriptor.TYPE_BYTES]
    assert blobs == (["heimdex.events.v1.DeadLetter.value"] if topic.name == flow.DEAD_LETTER else [])


def test_no_dead_letter_can_hold_a_scene() -> None:
    taken = {flow.topic_name(message) for stage in flow.STAGES.values() for message in stage.waits_for}
    taken |= {topic for control in flow.CONTROL.values() for topic in control.takes}
    assert facts.SCENE_TOPIC not in taken


# ------------------------------------------------------------------------------------------------- reasons

_FOR_LATER = {"QUOTA_EXCEEDED"}
"""Reasons of the contract that nothing gives yet: quotas come with an issue of their own."""

_SERVER = ("contracts", "gateway", "processors", "indexer", "control", "adapters")
_CLIENT = ("clients/python/heimdex",)
"""It gives what the wire cannot (a message that is too large), and has words of its own besides."""


def reasons() -> set[str]:
    """Return every documented reason without its prefix."""
    return {name.removeprefix("ERROR_REASON_") for name, number in common_pb2.ErrorReason.items() if number}


def given(*folders: str) -> dict[str, str]:
    """Return what code gives as a reason -> where: ``reason=``, ``default_reason`` and ``Rejected("…")``."""
    found: dict[str, str] = {}
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for value in _reasons_of(node):
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
                    found[value.value] = f"{path.relative_to(ROOT)}:{value.lineno}"
    return found


def _reasons_of(node: ast.AST) -> list[ast.expr]:
    """Return the expressions that a piece of code gives as reasons."""
    match node:
        case ast.Call(func=ast.Name(id="Rejected"), args=[first, *_]):
            return [first]
        case ast.Call():
            return [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
        case ast.AnnAssign(target=ast.Name(id="default_reason"), value=ast.expr() as value):
            return [value]
        case ast.Assign(targets=[ast.Name(id="default_reason")], value=value):
            return [value]
    return []


def test_every_reason_that_a_server_gives_is_documented() -> None:
    assert {reason: where for reason, where in given(*_SERVER).items() if reason not in reasons()} == {}


def test_every_documented_reason_is_given_somewhere() -> None:
    assert reasons() - set(given(*_SERVER, *_CLIENT)) == _FOR_LATER


def tree_of_errors() -> list[type[errors.HeimdexError]]:
    found, todo = [], [errors.HeimdexError]
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", tree_of_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_documented_reason_and_a_code_of_grpc(kind: type[errors.HeimdexError]) -> None:
    import grpc

    assert kind.default_reason in reasons()
    assert hasattr(grpc.StatusCode, kind.code)
    assert kind.__doc__


def test_every_reason_is_explained_where_it_is_declared() -> None:
    lines = (ROOT / "proto/heimdex/common/v1/common.proto").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*ERROR_REASON_\w+ = \d+;", line):
            assert lines[number - 1].strip().startswith("//"), line.strip()


# --------------------------------------------------------------------------------------------------- docs


def table_topics() -> list[str]:
    """Return the topics that tables of docs/events.md name; ``<stage>`` stands for each."""
    rows = [
        line for line in (ROOT / "docs/events.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")
    ]
    named = [name for row in rows for name in re.findall(r"`(heimdex-[a-z0-9<>-]+-v\d+)`", row.split("|")[1])]
    return [
        expanded
        for name in named
        for expanded in ([name.replace("<stage>", noun) for noun in flow.STAGES] if "<stage>" in name else [name])
    ]


def test_the_page_for_consumers_lists_exactly_the_topics_there_are() -> None:
    assert sorted(table_topics()) == sorted(flow.TOPICS)


@pytest.mark.parametrize("topic", flow.TOPICS.values(), ids=lambda t: t.name)
def test_the_page_for_consumers_speaks_of_no_topic_that_is_not_there(topic: flow.Topic) -> None:
    text = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    assert set(re.findall(r"heimdex-[a-z0-9-]+-v\d+", text)) <= set(flow.TOPICS)
    assert topic.readers


def test_the_page_for_consumers_explains_every_outcome() -> None:
    text = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    assert all(f"`{name.removeprefix('OUTCOME_')}`" in text for name, number in common_pb2.Outcome.items() if number)
