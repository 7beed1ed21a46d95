"""Scope: whatever is in an id, a filter of Milvus says what was meant."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from milvus_lite.search.filter import parse_expr
from milvus_lite.search.filter.ast import And, CmpOp, InOp

from adapters.vectors._scope import TENANT_BUCKETS, bucket, bucket_name, within
from contracts.ports import Scope

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(tenant=TEXT, videos=st.lists(TEXT, min_size=1), rows=st.lists(TEXT, min_size=1))
def test_a_filter_says_what_was_meant(tenant: str, videos: list[str], rows: list[str]) -> None:
    # Read by the parser of Milvus Lite's server itself.
    tree = parse_expr(within(tenant, Scope(tuple(videos)), row_ids=rows))
    assert isinstance(tree, And)
    of_tenant, of_videos, of_rows = tree.operands
    assert isinstance(of_tenant, CmpOp)
    assert (of_tenant.left.name, of_tenant.op, of_tenant.right.value) == ("tenant_id", "==", tenant)
    for term, field, values in ((of_videos, "video_id", videos), (of_rows, "row_id", rows)):
        assert isinstance(term, InOp)
        assert term.field.name == field
        assert [element.value for element in term.values.elements] == values


def test_without_videos_the_tenant_stays() -> None:
    assert within("acme") == 'tenant_id == "acme"'


def test_a_tenant_keeps_its_bucket() -> None:
    assert bucket("acme") == "tenants_13"
    assert {bucket(f"tenant-{n}") for n in range(500)} == {bucket_name(n) for n in range(TENANT_BUCKETS)}
