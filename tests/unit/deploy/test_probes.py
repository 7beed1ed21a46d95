"""Probes: an answer in the protocol counts, an open port does not."""

from __future__ import annotations

import contextlib
import http.server
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from deploy.local import probes
from deploy.local.probes import GrpcProbe, HttpProbe, KafkaProbe, Probe

Answer = Callable[[bytes], bytes]


@contextlib.contextmanager
def server(answer: Answer) -> Iterator[int]:
    """Serve connections that each send something and get `answer` of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(answer(connection.recv(4096)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def kafka_answer(error: int) -> Answer:
    def answer(request: bytes) -> bytes:
        correlation = struct.unpack(">i", request[8:12])[0]
        body = struct.pack(">ihi", correlation, error, 0)
        return struct.pack(">i", len(body)) + body

    return answer


def test_a_broker_that_answers_is_ready() -> None:
    with server(kafka_answer(0)) as port:
        assert KafkaProbe(port)()
    with server(kafka_answer(35)) as port:
        assert not KafkaProbe(port)()


def test_a_grpc_server_that_sends_its_settings_is_ready() -> None:
    with server(lambda _: b"\x00\x00\x00\x04\x00\x00\x00\x00\x00") as port:
        assert GrpcProbe(port)()
    with server(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert not GrpcProbe(port)()


def test_http_200_is_ready_and_503_is_not() -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ready" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        assert HttpProbe(listener.server_port, "/ready")()
        assert not HttpProbe(listener.server_port, "/live")()
        listener.shutdown()
        thread.join()


@pytest.mark.parametrize("probe", [KafkaProbe, GrpcProbe, lambda port: HttpProbe(port, "/")])
def test_a_port_that_is_open_but_silent_is_not_ready(
    probe: Callable[[int], Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        assert not probe(hung.getsockname()[1])()


@pytest.mark.parametrize("probe", [KafkaProbe, GrpcProbe, lambda port: HttpProbe(port, "/")])
def test_a_closed_port_is_not_ready(probe: Callable[[int], Probe]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not probe(port)()


@pytest.mark.parametrize("probe", [KafkaProbe, GrpcProbe, lambda port: HttpProbe(port, "/")])
def test_an_answer_that_breaks_off_is_not_ready(probe: Callable[[int], Probe]) -> None:
    with server(lambda _: b"\x00") as port:
        assert not probe(port)()
