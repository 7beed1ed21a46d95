"""The real servers on this machine: up, down, killed, hung, side by side, in the way, as root and as a user."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deploy.local.processes import table
from deploy.local.provision import cache_folder
from deploy.local.supervisor import Supervisor
from deploy.local.watchdog import FAILURES, Judge, look
from tests.integration.deploy.conftest import Servers, wait_until

pytestmark = pytest.mark.integration

SERVERS = ("kafka", "opensearch", "objects", "milvus-text", "milvus-vision")


def is_ready(servers: Servers, name: str) -> bool:
    return next(process for process in table(servers.home) if process.name == name).ready()


def request(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_server_is_ready_and_listens_on_the_loopback_only(running: Servers) -> None:
    for name in SERVERS:
        assert is_ready(running, name), name
    pids = {running.managed(name).pid for name in SERVERS}
    listening = [c for c in psutil.net_connections("tcp") if c.pid in pids and c.status == psutil.CONN_LISTEN]
    assert {connection.pid for connection in listening} == pids
    assert {c.laddr.ip.removeprefix("::ffff:") for c in listening if c.laddr} == {"127.0.0.1"}


def test_nori_is_the_real_one(running: Servers) -> None:
    question = {"tokenizer": "nori_tokenizer", "text": "김치찌개를"}
    status, body = request(running.port("opensearch"), "POST", "/_analyze", question)
    assert status == 200, body
    assert [token["token"] for token in json.loads(body)["tokens"]] == ["김치", "찌개", "를"]


def test_the_object_store_refuses_an_unsigned_request(running: Servers) -> None:
    assert request(running.port("objects"), "PUT", "/some-bucket")[0] == 403


def test_up_a_second_time_is_quick_and_says_so(running: Servers) -> None:
    before = {name: running.managed(name).pid for name in SERVERS}
    started = time.monotonic()
    assert "already running" in running.up().stdout
    assert time.monotonic() - started < 10
    assert {name: running.managed(name).pid for name in SERVERS} == before


def test_status_shows_each_process(running: Servers) -> None:
    done = running.run("status")
    assert done.returncode == 5  # Heimdex's own processes are not up here
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    for name in SERVERS:
        assert " ready " in lines[name]
        assert str(running.port(name)) in lines[name]
    assert " stopped " in lines["gateway"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_comes_back(running: Servers, name: str) -> None:
    wait_until(lambda: is_ready(running, name), f"{name} is up")
    before = running.managed(name).pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: running.managed(name).pid not in {0, before} and is_ready(running, name), f"{name} is back")


def test_a_hung_server_is_killed_and_comes_back(running: Servers) -> None:
    before = running.managed("milvus-text").pid
    processes = tuple(process for process in table(running.home) if process.name == "milvus-text")
    manager, judge = Supervisor(running.home), Judge()
    wait_until(processes[0].ready, "milvus-text is up")
    look(running.home, manager, processes, judge)
    os.kill(before, signal.SIGSTOP)
    for _ in range(FAILURES):
        look(running.home, manager, processes, judge)
    wait_until(lambda: running.managed("milvus-text").pid not in {0, before}, "it was killed")
    wait_until(processes[0].ready, "milvus-text is back")


def test_kill_9_of_the_manager_leaves_nobody_and_up_starts_anew(running: Servers) -> None:
    manager = Supervisor(running.home).pid()
    others = [process for process in running.processes() if process.pid != manager]
    assert len(others) >= len(SERVERS)
    os.kill(manager, signal.SIGKILL)
    _, alive = psutil.wait_procs(others, timeout=20)
    assert alive == []
    running.up()
    assert all(is_ready(running, name) for name in SERVERS)


def test_two_stacks_side_by_side(running: Servers, new_servers: Callable[[str], Servers]) -> None:
    second = new_servers("second, with a space")
    second.up()
    assert all(is_ready(running, name) and is_ready(second, name) for name in SERVERS)
    ports = [{servers.port(name) for name in SERVERS} for servers in (running, second)]
    assert not ports[0] & ports[1]
    assert second.run("down").returncode == 0
    assert second.processes() == []
    assert all(is_ready(running, name) for name in SERVERS)


def test_down_stops_in_order_and_leaves_nothing_but_data(running: Servers) -> None:
    done = running.run("down")
    assert done.returncode == 0, done.stderr
    said = [line.removeprefix("stopping ") for line in done.stdout.splitlines() if line.startswith("stopping ")]
    assert said == ["kafka", "milvus-text, milvus-vision", "opensearch", "objects"]
    assert running.processes() == []
    assert {path.name for path in running.home.run.iterdir()} == {"verb.lock"}
    assert "not running" in running.run("down").stdout
    running.up()


def test_a_busy_port_is_one_line_that_names_who_is_in_the_way(running: Servers) -> None:
    running.run("down")
    port = running.port("kafka")
    with socket.create_server(("127.0.0.1", port)):
        done = running.run("up", "--servers-only")
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert f"port {port} (kafka) is in use by pid {os.getpid()} (" in done.stderr
    assert running.processes() == []
    running.up()


def test_data_survives_down_and_up(running: Servers) -> None:
    opensearch = running.port("opensearch")
    status, body = request(opensearch, "PUT", "/kept", {"settings": {"number_of_replicas": 0}})
    assert status == 200, body
    assert request(opensearch, "PUT", "/kept/_doc/1", {"a": 1})[0] == 201
    running.run("down")
    running.up()
    assert request(opensearch, "GET", "/kept/_doc/1")[0] == 200
    assert request(opensearch, "DELETE", "/kept")[0] == 200


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_root_with_everything_inside_a_0700_folder(new_servers: Callable[[str], Servers], tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    servers = new_servers("unused")
    inside = Servers(
        type(servers.home)(tmp_path / "home" / "stack"), servers.environment | {"HOME": str(tmp_path / "home")}
    )
    (tmp_path / "home" / ".cache").mkdir(parents=True)
    shutil.copytree(cache_folder(), tmp_path / "home" / ".cache" / "heimdex", symlinks=True)
    for path in (tmp_path, tmp_path / "home"):
        path.chmod(0o700)
    try:
        inside.up()
        assert all(is_ready(inside, name) for name in SERVERS)
    finally:
        inside.run("down")


def readable_by_others(path: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in [*path.resolve().parents, path.resolve()])


@pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root to become somebody else; whoever is not root shows it in every other test"
)
def test_as_a_normal_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    nobody, python = 65534, shutil.which("python3.11", path="/usr/bin:/usr/local/bin")
    packages = Path(sys.prefix) / "lib" / "python3.11" / "site-packages"
    if python is None or not readable_by_others(packages):
        pytest.skip("no Python 3.11 and packages here that another user may read")
    folder = Path(tempfile.mkdtemp(prefix="heimdex-user-"))  # pytest's own folders are closed to others
    folder.chmod(0o755)
    try:
        shutil.copytree(cache_folder() / "servers", folder / "cache" / "heimdex" / "servers")
        subprocess.run(["chown", "-R", f"{nobody}:{nobody}", str(folder)], check=True)
        sources = [str(Path(__file__).parents[3])]
        sources += [line for path in packages.glob("_heimdex*.pth") for line in path.read_text().split()]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PYTHONPATH": os.pathsep.join([*dict.fromkeys(sources), str(packages)]),
        }
        program = "import typer; from deploy.local.commands import register; app = typer.Typer(); register(app); app()"
        become = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", python, "-c", program]

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*become, *arguments],
                env=environment,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=400,
                check=False,
            )

        try:
            done = run("up", "--servers-only")
            assert done.returncode == 0, done.stdout + done.stderr
            rows = {line.split()[0]: line for line in run("status").stdout.splitlines() if line.strip()}
            assert all(" ready " in rows[name] for name in SERVERS)
            owners = {p.uids().effective for p in psutil.process_iter() if str(folder) in " ".join(p.cmdline())}
            assert owners == {nobody}
        finally:
            assert run("down").returncode == 0
    finally:
        shutil.rmtree(folder)
