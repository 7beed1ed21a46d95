"""Pulling by the real client from a hub on this machine: whole, cut short and gone on with, tampered with, away."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from adapters.models.pull import HuggingFace, Repository, check, pull
from contracts.errors import DependencyUnavailable, ModelUnavailable

COMMIT = "c0ffee" + "0" * 34
LARGE = bytes(range(256)) * (96 << 10)  # 24 MiB: the client writes 10 MiB at a time
CONTENT = {"model.bin": LARGE, "config.json": b"{}"}
REPOSITORY = Repository("some/model", "some-model", ("model.bin", "config.json"))


class LocalHub(ThreadingHTTPServer):
    """As much of the protocol as the client uses. ``break_at``: bytes after which the next download is cut."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = dict(CONTENT)
        self.break_at: int | None = None
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: LocalHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        if self.path.startswith("/api/models/some/model"):
            self._send(200, json.dumps(_description()).encode(), {"Content-Type": "application/json"}, with_body)
            return
        name = self.path.rpartition("/")[2]
        body = self.server.content.get(name)
        if not self.path.startswith(f"/some/model/resolve/{COMMIT}/") or body is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
            return
        headers = {"ETag": f'"{hashlib.sha256(CONTENT[name]).hexdigest()}"', "X-Repo-Commit": COMMIT}
        wanted = self.headers.get("Range")
        if with_body:
            self.server.ranges.append(wanted)
        if wanted is None:
            self._send(200, body, headers, with_body)
            return
        start = int(wanted.removeprefix("bytes=").partition("-")[0])
        headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self._send(206, body[start:], headers, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:  # noqa: FBT001
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if not with_body:
            return
        if self.server.break_at is not None and len(body) > self.server.break_at:
            self.wfile.write(body[: self.server.break_at])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _description() -> dict[str, object]:
    digest = hashlib.sha256(LARGE).hexdigest()
    large = {
        "rfilename": "model.bin",
        "size": len(LARGE),
        "lfs": {"sha256": digest, "size": len(LARGE), "pointerSize": 1},
    }
    return {"id": "some/model", "sha": COMMIT, "siblings": [large, {"rfilename": "config.json", "size": 2}]}


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    server = LocalHub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _pull(folder: Path, hub: LocalHub, repository: Repository = REPOSITORY) -> None:
    pull(folder, [repository], HuggingFace(hub.url), lambda _: None)


def test_files_come_whole_and_only_once(tmp_path: Path, hub: LocalHub) -> None:
    _pull(tmp_path, hub)
    assert {name: (tmp_path / "some-model" / name).read_bytes() for name in CONTENT} == CONTENT
    assert check(tmp_path, [REPOSITORY]) == []
    assert len(hub.ranges) == 2
    _pull(tmp_path, hub)
    assert len(hub.ranges) == 2


def test_a_download_that_was_cut_is_gone_on_with(tmp_path: Path, hub: LocalHub) -> None:
    hub.break_at = 15 << 20
    with pytest.raises(DependencyUnavailable):
        _pull(tmp_path, hub)
    assert not (tmp_path / "some-model" / "model.bin").exists()
    assert "is missing" in check(tmp_path, [REPOSITORY])[0]
    hub.break_at = None
    tries = len(hub.ranges)
    _pull(tmp_path, hub)
    assert hub.ranges[tries] == f"bytes={10 << 20}-"
    assert (tmp_path / "some-model" / "model.bin").read_bytes() == LARGE


def test_tampered_bytes_are_refused_and_removed(tmp_path: Path, hub: LocalHub) -> None:
    hub.content["model.bin"] = LARGE[:-1] + b"!"
    with pytest.raises(ModelUnavailable, match=r"some-model/model\.bin has digest .*: removed"):
        _pull(tmp_path, hub)
    assert not (tmp_path / "some-model" / "model.bin").exists()
    hub.content["model.bin"] = LARGE
    _pull(tmp_path, hub)
    assert check(tmp_path, [REPOSITORY]) == []


def test_damage_on_disk_is_mended_though_the_client_thinks_it_has_the_file(tmp_path: Path, hub: LocalHub) -> None:
    _pull(tmp_path, hub)
    path = tmp_path / "some-model" / "model.bin"
    before = path.stat()
    path.write_bytes(b"damaged")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    _pull(tmp_path, hub)
    assert path.read_bytes() == LARGE


def test_a_file_the_hub_lacks_is_named(tmp_path: Path, hub: LocalHub) -> None:
    more = Repository("some/model", "some-model", ("model.bin", "absent.json"))
    with pytest.raises(DependencyUnavailable, match=r"absent\.json"):
        _pull(tmp_path, hub, more)


def test_no_hub_is_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}  # nothing listens on the discard port
    done = subprocess.run(
        [sys.executable, "-m", "adapters.models.pull", str(tmp_path)],
        capture_output=True, text=True, check=False, env=environment, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 5
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("pull failed: no mobiuslabsgmbh/")
    assert "http://127.0.0.1:9: ConnectError" in line
