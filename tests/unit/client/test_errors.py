"""A failed call -> a typed error, and an error -> the exit code and the one line of the command."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from heimdex.cli.failure import Usage, exit_code, explain
from heimdex.client import errors
from heimdex.client.config import NotConfigured

_BINARY_STATUS = "grpc-status-details-bin"


def failed(code: grpc.StatusCode, message: str, details: Sequence[Message] = ()) -> grpc.aio.AioRpcError:
    """Return the error of a call that ended so."""
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = grpc.aio.Metadata((_BINARY_STATUS, status.SerializeToString())) if details else grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, message)


def test_details_are_read() -> None:
    wait = error_details_pb2.RetryInfo()
    wait.retry_delay.FromMilliseconds(1500)
    error = errors.from_rpc(
        failed(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "full",
            [error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="heimdex", metadata={"subject": "tenant"}), wait],
        )
    )
    assert isinstance(error, errors.ResourceExhausted)
    assert (error.reason, error.metadata, error.retry_after_s) == ("OVERLOADED", {"subject": "tenant"}, 1.5)
    assert str(error) == "full [OVERLOADED]"


FOUND_NOTHING = errors.NotFound(
    grpc.StatusCode.NOT_FOUND,
    "no video",
    reason="NOT_FOUND",
    metadata={"resource": "vid_1"},
    retry_after_s=2.0,
    violations=[errors.FieldViolation("video_id", "is unknown")],
)


def pickled(error: errors.HeimdexError) -> errors.HeimdexError:
    again: errors.HeimdexError = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    return again


@pytest.mark.parametrize(
    "error", [FOUND_NOTHING, errors.Closed(), errors.TransferFailed("refused")], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("remade", [copy.copy, pickled])
def test_errors_come_back_from_a_pool_of_processes(
    error: errors.HeimdexError, remade: Callable[[errors.HeimdexError], errors.HeimdexError]
) -> None:
    again = remade(error)
    assert (type(again), vars(again), str(again), again.args) == (type(error), vars(error), str(error), error.args)


def test_field_violations_are_read() -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="query", description="is empty")
    info = error_details_pb2.ErrorInfo(reason="INVALID_FIELD", domain="heimdex")
    details = [info, error_details_pb2.BadRequest(field_violations=[violation])]
    error = errors.from_rpc(failed(grpc.StatusCode.INVALID_ARGUMENT, "query: is empty", details))
    assert error.violations == (errors.FieldViolation("query", "is empty"),)
    assert explain(error) == "query: is empty"


def test_a_message_too_large_for_grpc_is_named() -> None:
    text = "SERVER: Received message larger than max (5242893 vs. 4194304)"
    error = errors.from_rpc(failed(grpc.StatusCode.RESOURCE_EXHAUSTED, text))
    assert (error.reason, error.retry_after_s) == ("MESSAGE_TOO_LARGE", None)


def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    error = errors.from_rpc(failed(grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses"))
    assert error.retry_after_s
    assert "heimdex status" in explain(error)


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_code_is_an_error_of_the_tree(code: grpc.StatusCode) -> None:
    assert errors.from_rpc(failed(code, "text")).code is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Usage("no videos"), 2),
        (errors.from_rpc(failed(grpc.StatusCode.INVALID_ARGUMENT, "")), 2),
        (errors.from_rpc(failed(grpc.StatusCode.FAILED_PRECONDITION, "")), 2),
        (errors.from_rpc(failed(grpc.StatusCode.NOT_FOUND, "")), 3),
        (FileNotFoundError(2, "no such file", "x.mp4"), 3),
        (errors.from_rpc(failed(grpc.StatusCode.UNAUTHENTICATED, "")), 4),
        (errors.from_rpc(failed(grpc.StatusCode.PERMISSION_DENIED, "")), 4),
        (errors.from_rpc(failed(grpc.StatusCode.UNAVAILABLE, "")), 5),
        (errors.from_rpc(failed(grpc.StatusCode.DEADLINE_EXCEEDED, "")), 5),
        (errors.from_rpc(failed(grpc.StatusCode.INTERNAL, "")), 5),
        (errors.TransferFailed("broke"), 5),
        (NotConfigured("no stack"), 5),
        (ZeroDivisionError(), None),
    ],
)
def test_exit_codes(error: Exception, code: int | None) -> None:
    assert exit_code(error) == code


def test_what_to_do_is_said() -> None:
    info = error_details_pb2.ErrorInfo(reason="TOKEN_EXPIRED", domain="heimdex")
    expired = errors.from_rpc(failed(grpc.StatusCode.UNAUTHENTICATED, "the token has expired", [info]))
    assert "heimdex token" in explain(expired)
    assert explain(FileNotFoundError(2, "no such file", "x.mp4")) == "no such file: x.mp4"
