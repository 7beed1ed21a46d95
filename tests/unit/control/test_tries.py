"""Which blobs no manifest names."""

from __future__ import annotations

from contracts import ids
from control.reconciler.tries import Try, forgotten, tries
from heimdex.events.v1 import manifest_pb2

TENANT, VIDEO = "b", "vid_1"  # a tenant whose name looks like a part of a blob's key


def key(noun: str, attempt: str, name: str = "artifact.pb") -> str:
    return ids.blob_key(TENANT, VIDEO, noun, "s1", attempt, name)


def named(*keys: str) -> manifest_pb2.Manifest:
    return manifest_pb2.Manifest(blobs=[manifest_pb2.Blob(key=one) for one in keys])


def test_blobs_belong_to_their_try_and_nothing_else_does() -> None:
    keys = [
        key("frames", "a"),
        key("frames", "a", "frame-1.jpg"),
        key("vision", "b"),
        ids.manifest_key(TENANT, VIDEO, "frames", "s1"),
        ids.source_key(TENANT, VIDEO),
        ids.plan_key(TENANT, VIDEO, 1),
        ids.blob_key(TENANT, "vid_2", "frames", "s1", "c", "artifact.pb"),
        ids.lease_key(TENANT, VIDEO, "frames", "s1"),
    ]
    assert tries(TENANT, VIDEO, keys) == {Try("frames", "s1", "a"), Try("vision", "s1", "b")}


def test_a_try_that_no_manifest_names_is_forgotten_whole() -> None:
    made = tries(TENANT, VIDEO, [key("frames", "lost"), key("frames", "won"), key("vision", "won")])
    manifests = [named(key("frames", "won")), named(key("vision", "won"))]
    assert forgotten(TENANT, VIDEO, made, manifests) == (key("frames", "lost", ""),)


def test_a_prefix_of_a_try_is_no_prefix_of_another() -> None:
    made = tries(TENANT, VIDEO, [key("frames", "a"), key("frames", "ab")])
    [prefix] = forgotten(TENANT, VIDEO, made, [named(key("frames", "ab"))])
    assert not key("frames", "ab").startswith(prefix)


def test_one_named_blob_keeps_its_whole_try() -> None:
    made = tries(TENANT, VIDEO, [key("frames", "a", "1.jpg"), key("frames", "a", "2.jpg")])
    assert forgotten(TENANT, VIDEO, made, [named(key("frames", "a", "2.jpg"))]) == ()


def test_without_manifests_all_tries_came_to_nothing() -> None:
    made = tries(TENANT, VIDEO, [key("vision", "b"), key("frames", "a")])
    assert forgotten(TENANT, VIDEO, made, []) == (key("frames", "a", ""), key("vision", "b", ""))
