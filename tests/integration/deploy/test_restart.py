"""One stop and start of the real servers, with what can go wrong on the way; each test looks at a part of it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from deploy.local.ports import is_free
from tests.integration.deploy.conftest import SERVERS, Servers

pytestmark = pytest.mark.integration

LOG_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Restart:
    """What was said and seen from `down` to `up`."""

    servers: Servers
    down: subprocess.CompletedProcess[str]
    manager_said: str
    left_running: Sequence[object]
    left_in_run: set[str]
    down_again: subprocess.CompletedProcess[str]
    busy: subprocess.CompletedProcess[str]
    interrupted: subprocess.CompletedProcess[str]
    left_by_interrupted: Sequence[object]
    killed: subprocess.CompletedProcess[str]
    up: subprocess.CompletedProcess[str]


def kept(servers: Servers, method: str, body: object = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", servers.port("opensearch"), timeout=30)
    try:
        connection.request(method, "/kept", json.dumps(body) if body else None, {"content-type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def restart(running: Servers) -> Restart:
    kept(running, "PUT", {"settings": {"number_of_replicas": 0}})
    manager_log = running.home.logs / "supervisord.log"
    before = manager_log.stat().st_size
    down = running.run("down")
    manager_said = manager_log.read_text()[before:]
    left, in_run = running.processes(), {path.name for path in running.home.run.iterdir()}
    down_again = running.run("down")
    with socket.create_server(("127.0.0.1", running.port("kafka"))):
        busy = running.run("up", "--servers-only")
    (running.home.logs / "opensearch.log").write_text("x" * 99 + "\n" * (LOG_BYTES - 99))
    interrupted = running.cut_short_up(signal.SIGINT, at="objects +ready|stopping kafka")  # and again while it stops
    left_by_interrupted = running.processes()
    killed = running.cut_short_up(signal.SIGKILL, at="objects +ready")
    return Restart(
        servers=running,
        down=down,
        manager_said=manager_said,
        left_running=left,
        left_in_run=in_run,
        down_again=down_again,
        busy=busy,
        interrupted=interrupted,
        left_by_interrupted=left_by_interrupted,
        killed=killed,
        up=running.up(),
    )


def test_down_stops_in_order_and_asks_each_to_end_by_itself(restart: Restart) -> None:
    assert restart.down.returncode == 0, restart.down.stderr
    said = [line.removeprefix("stopping ") for line in restart.down.stdout.splitlines() if "stopping" in line]
    assert said == ["kafka", "milvus-text, milvus-vision", "opensearch", "objects"]
    ended = dict(re.findall(r"stopped: (\S+) \((.*)\)", restart.manager_said))
    when_asked = {"kafka": "exit status 143", "opensearch": "exit status 143", "watchdog": "terminated by SIGTERM"}
    assert ended == {name: when_asked.get(name, "exit status 0") for name in (*SERVERS, "watchdog")}


def test_milvus_closes_its_data(restart: Restart) -> None:
    for name in ("milvus-text", "milvus-vision"):
        assert "Shutting down" in restart.servers.run("logs", name, "--lines", "1000").stdout


def test_down_leaves_nothing_but_data(restart: Restart) -> None:
    assert restart.left_running == []
    assert restart.left_in_run == {"verb.lock"}
    assert (restart.down_again.returncode, restart.down_again.stdout) == (0, "not running\n")


def test_a_busy_port_is_one_line_that_names_who_is_in_the_way(restart: Restart) -> None:
    assert restart.busy.returncode == 5
    assert restart.busy.stderr.count("\n") == 1
    port = restart.servers.port("kafka")
    assert f"port {port} (kafka) is in use by pid {os.getpid()} (" in restart.busy.stderr


def test_ctrl_c_while_it_starts_leaves_nothing_running(restart: Restart) -> None:
    assert restart.interrupted.returncode == 130
    assert "stopping objects\n" in restart.interrupted.stdout
    assert restart.interrupted.stdout.endswith("\nstopped; run the same command again to go on\n")
    assert restart.left_by_interrupted == []


def test_up_goes_on_where_a_killed_one_was(restart: Restart) -> None:
    assert restart.killed.returncode == -signal.SIGKILL
    assert restart.up.returncode == 0
    assert all(restart.servers.is_ready(name) for name in SERVERS)
    assert not any(is_free(restart.servers.port(name)) for name in SERVERS)


def test_data_survives(restart: Restart) -> None:
    assert kept(restart.servers, "GET") == 200


def test_a_log_that_is_full_makes_room_for_the_next(restart: Restart) -> None:
    full, next_ = (restart.servers.home.logs / name for name in ("opensearch.log.1", "opensearch.log"))
    assert full.stat().st_size >= LOG_BYTES
    assert next_.stat().st_size < LOG_BYTES
