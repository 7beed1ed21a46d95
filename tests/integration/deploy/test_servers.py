"""The real servers: killed, hung, bloated, without their manager, side by side, as root and as a normal user."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local import probes
from deploy.local.process import Process
from deploy.local.processes import table
from deploy.local.provision import cache_folder
from deploy.local.supervisor import WATCHDOG, Supervisor
from deploy.local.watchdog import FAILURES, Judge, look
from tests.integration.deploy.conftest import SERVERS, Servers
from tests.stack import eventually

pytestmark = pytest.mark.integration

NOBODY = 65534


def request(port: int, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body) if body else None, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_server_is_ready_and_nothing_leaves_the_loopback(running: Servers) -> None:
    assert all(running.is_ready(name) for name in SERVERS)
    family = {process.pid for process in running.processes()}
    assert {running.managed(name).pid for name in (*SERVERS, WATCHDOG)} <= family
    sockets = [(c.laddr, c.status) for c in psutil.net_connections("inet") if c.pid in family and c.laddr]
    assert {running.port(name) for name in SERVERS} <= {
        at.port for at, status in sockets if status == psutil.CONN_LISTEN
    }
    assert [at for at, _ in sockets if not ipaddress.ip_address(at.ip.removeprefix("::ffff:")).is_loopback] == []


def test_nori_is_the_real_one(running: Servers) -> None:
    question = {"tokenizer": "nori_tokenizer", "text": "김치찌개를"}
    status, body = request(running.port("opensearch"), "POST", "/_analyze", question)
    assert status == 200, body
    assert [token["token"] for token in json.loads(body)["tokens"]] == ["김치", "찌개", "를"]


def test_the_object_store_refuses_an_unsigned_request(running: Servers) -> None:
    assert request(running.port("objects"), "PUT", "/some-bucket")[0] == 403


def test_up_a_second_time_starts_nothing_and_says_so(running: Servers) -> None:
    before = {name: running.managed(name).pid for name in SERVERS}
    assert "already running" in running.up().stdout
    assert {name: running.managed(name).pid for name in SERVERS} == before


def test_what_only_a_start_can_change_is_refused_while_it_runs(running: Servers) -> None:
    done = running.run("up", "--servers-only", "--profile", "fake")
    assert done.returncode == 5
    assert done.stderr == (
        "heimdex: the stack is running; its profile, catalogue, ports and settings change only at a start; "
        "stop it first with `heimdex down`\n"
    )


def test_status_shows_each_process_and_what_all_of_it_holds(running: Servers) -> None:
    done = running.run("status")
    assert done.returncode == 5  # Heimdex's own processes are not up here
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    for name in SERVERS:
        assert " ready " in lines[name]
        assert str(running.port(name)) in lines[name]
    assert " stopped " in lines["gateway"]
    parts = [int(lines[name].split()[3]) for name in (*SERVERS, "manager")]
    assert abs(int(lines["total"].split()[1]) - sum(parts)) <= len(parts)  # each is rounded


def test_the_doctor_finds_nothing_wrong_with_what_runs(running: Servers) -> None:
    lines = running.run("doctor").stdout.splitlines()
    states = {line[4:23].strip(): line[:3].strip() for line in lines}
    assert {name: states[name] for name in SERVERS} == dict.fromkeys(SERVERS, "ok")
    assert [line for line in lines if line.startswith("BAD") and "`heimdex up` starts" not in line] == []


@pytest.mark.parametrize("name", SERVERS)
def test_a_killed_server_comes_back(running: Servers, name: str) -> None:
    eventually(lambda: running.is_ready(name), f"{name} is up")
    before = running.managed(name).pid
    os.kill(before, signal.SIGKILL)
    running.wait_for_another(name, before)


@pytest.fixture
def milvus(running: Servers) -> Process:
    process = next(process for process in table(running.home) if process.name == "milvus-text")
    eventually(process.ready, "milvus-text is up")
    return process


def test_a_hung_server_is_killed_and_comes_back(
    running: Servers, milvus: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_TIMEOUT_S", 0.5)
    before, manager, judge = running.managed(milvus.name).pid, Supervisor(running.home), Judge()
    look(running.home, manager, (milvus,), judge)
    os.kill(before, signal.SIGSTOP)
    for _ in range(FAILURES):
        look(running.home, manager, (milvus,), judge)
    running.wait_for_another(milvus.name, before)


def test_a_bloated_server_is_killed_and_comes_back(running: Servers, milvus: Process) -> None:
    before, manager = running.managed(milvus.name).pid, Supervisor(running.home)
    look(running.home, manager, (milvus,), Judge())
    assert running.managed(milvus.name).pid == before
    look(running.home, manager, (replace(milvus, memory_bound_bytes=1_000_000),), Judge())
    running.wait_for_another(milvus.name, before)


def test_the_one_who_looks_after_them_comes_back_too(running: Servers) -> None:
    before = running.managed(WATCHDOG).pid
    os.kill(before, signal.SIGKILL)
    eventually(lambda: running.managed(WATCHDOG).pid not in {0, before}, "the watchdog is back")


def test_kill_9_of_the_manager_leaves_nobody_and_up_starts_anew(running: Servers) -> None:
    manager = Supervisor(running.home).pid()
    others = [process for process in running.processes() if process.pid != manager]
    assert len(others) >= len(SERVERS)
    os.kill(manager, signal.SIGKILL)
    _, alive = psutil.wait_procs(others, timeout=20)
    assert alive == []
    running.up()
    assert all(running.is_ready(name) for name in SERVERS)


def test_two_stacks_side_by_side_one_of_them_inside_a_0700_folder(
    running: Servers, homes: Callable[..., Servers], tmp_path: Path
) -> None:
    tmp_path.chmod(0o700)
    user = tmp_path / "user"
    shutil.copytree(cache_folder() / "servers", user / ".cache" / "heimdex" / "servers", symlinks=True)
    user.chmod(0o700)
    second = homes(user / "a home with spaces", HOME=str(user), XDG_CACHE_HOME="")
    said = second.up().stdout
    assert f"belong to the stack in {running.home.root}" in said or "is in use by" in said
    assert all(servers.is_ready(name) for servers in (running, second) for name in SERVERS)
    assert not {running.port(name) for name in SERVERS} & {second.port(name) for name in SERVERS}
    assert second.run("down").returncode == 0
    assert second.processes() == []
    assert all(running.is_ready(name) for name in SERVERS)


@pytest.fixture
def somebody() -> Iterator[Path]:
    """A folder of another user, when tests run as root."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else; every other test here shows a normal user")
    folder = Path(tempfile.mkdtemp(prefix="heimdex-user-"))  # pytest's own folders are closed to others
    folder.chmod(0o755)
    shutil.copytree(cache_folder() / "servers", folder / ".cache" / "heimdex" / "servers")
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(folder)], check=True)
    yield folder
    shutil.rmtree(folder)


def test_as_a_normal_user(homes: Callable[..., Servers], somebody: Path) -> None:
    python = shutil.which("python3.11", path="/usr/bin:/usr/local/bin")
    packages = Path(sys.prefix) / "lib" / "python3.11" / "site-packages"
    if python is not None and shutil.which("setpriv") and is_open_to_all(packages):
        sources = [line for path in packages.glob("_heimdex*.pth") for line in path.read_text().split()]
        become: tuple[str, ...] = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", python)
        environment = {"PYTHONPATH": os.pathsep.join([*sources, str(packages)])}
    else:  # nobody else can read Python or the packages here: somebody who is not root, yet opens what root may
        subprocess.run(["chown", "-R", "0:0", str(somebody)], check=True)
        become = (sys.executable, "-c", AS_NOBODY, sys.executable)
        environment = {}
    made = homes(somebody / "home", HOME=str(somebody), XDG_CACHE_HOME="", XDG_STATE_HOME="", **environment)
    servers = replace(made, python=become)
    try:
        servers.up()
        assert all(servers.is_ready(name) for name in SERVERS)
        family = servers.processes()
        assert len(family) >= len(SERVERS)
        assert {uid_inside(process) for process in family} == {NOBODY}
    finally:
        assert servers.run("down").returncode == 0
    assert servers.processes() == []


AS_NOBODY = """
import os, sys
from deploy.local.child import leave_root
leave_root()
os.execv(sys.argv[1], sys.argv[1:])
"""


def is_open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & stat.S_IXOTH for part in [*path.resolve().parents, path.resolve()])


def uid_inside(process: psutil.Process) -> int:
    """Return the user id that a process sees itself as."""
    mapping = Path(f"/proc/{process.pid}/uid_map").read_text().split()
    inside, outside, count = (int(number) for number in mapping[:3])
    return process.uids().effective - outside + inside if count == 1 else process.uids().effective
