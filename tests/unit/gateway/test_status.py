"""Status: every reason that the code may say is one that the wire knows; endings are the right one's fault."""

from __future__ import annotations

import re
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from contracts import errors
from gateway import status
from heimdex.common.v1 import common_pb2

ROOT = Path(__file__).resolve().parents[3]
REASONS = {name.removeprefix("ERROR_REASON_") for name in common_pb2.ErrorReason.keys()}  # noqa: SIM118  # no mapping


def test_every_reason_that_the_gateway_says_is_documented() -> None:
    said = set()
    for file in (ROOT / "gateway").rglob("*.py"):
        said |= set(re.findall(r'reason="([A-Z_]+)"', file.read_text(encoding="utf-8")))
    said |= {kind.default_reason for kind in _tree(errors.HeimdexError)}
    assert said - REASONS == set()


def _tree(kind: type[errors.HeimdexError]) -> list[type[errors.HeimdexError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _tree(child))]


def test_every_code_of_the_tree_is_one_of_grpc() -> None:
    for kind in _tree(errors.HeimdexError):
        assert kind.code in grpc.StatusCode.__members__


@pytest.mark.parametrize(("outcome", "code"), [("REJECTED", "INVALID_ARGUMENT"), ("FAILED", "INTERNAL")])
def test_an_ending_is_the_inputs_fault_or_ours(outcome: str, code: str) -> None:
    said = status.ending(outcome, "CRASHED", "text")
    assert said.code == grpc.StatusCode[code].value[0]
    info = error_details_pb2.ErrorInfo.FromString(said.details[0].value)
    assert (info.reason, info.domain) == ("CRASHED", "heimdex")
