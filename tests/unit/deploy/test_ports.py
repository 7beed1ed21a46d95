"""Ports: blocks are apart, remembered, and a busy one names the process in the way."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import ports as port_book
from deploy.local.failure import DeployError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def quiet_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin to look for blocks where nobody listens, whatever else runs on this machine."""
    wanted = range(4 * port_book.BLOCK)
    starts = range(20000, 32000, port_book.BLOCK)
    base = next(start for start in starts if all(port_book.is_free(start + offset) for offset in wanted))
    monkeypatch.setattr(port_book, "BASE", base)


def a_home(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def test_names_fit_into_a_block_and_blocks_do_not_touch() -> None:
    assert len(port_book.NAMES) == len(set(port_book.NAMES)) <= port_book.BLOCK
    first = set(port_book.block(port_book.BASE).values())
    assert not first & set(port_book.block(port_book.BASE + port_book.BLOCK).values())


def test_a_busy_port_is_named_with_its_process(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert not port_book.is_free(port)
    with pytest.raises(DeployError) as caught:
        port_book.require_free({"kafka": port})
    assert f"port {port} (kafka) is in use by pid {os.getpid()} (" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "--ports" in str(caught.value)


def test_a_closed_listener_leaves_its_port_free(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    accepted, _ = listener.accept()
    accepted.close()  # this side lingers in TIME_WAIT
    client.close()
    listener.close()
    assert port_book.is_free(port)


@pytest.mark.usefixtures("quiet_range")
def test_two_homes_get_blocks_of_their_own(tmp_path: Path) -> None:
    registry = tmp_path / "state" / "ports.json"
    one, _ = port_book.choose(a_home(tmp_path / "one"), None, registry)
    two, reason = port_book.choose(a_home(tmp_path / "two"), None, registry)
    assert not set(one.values()) & set(two.values())
    assert str(tmp_path / "one") in reason


@pytest.mark.usefixtures("quiet_range")
def test_the_block_of_a_home_that_is_gone_is_used_again(tmp_path: Path) -> None:
    registry = tmp_path / "ports.json"
    gone = a_home(tmp_path / "gone")
    before, _ = port_book.choose(gone, None, registry)
    (gone / "config.json").unlink()
    after, _ = port_book.choose(a_home(tmp_path / "next"), None, registry)
    assert after == before


@pytest.mark.usefixtures("quiet_range")
def test_a_home_that_moves_gives_its_block_back(tmp_path: Path) -> None:
    registry = tmp_path / "ports.json"
    home = a_home(tmp_path / "home")
    before, _ = port_book.choose(home, None, registry)
    moved, _ = port_book.choose(home, min(before.values()) + 2 * port_book.BLOCK, registry)
    assert moved != before
    assert port_book.choose(a_home(tmp_path / "other"), None, registry)[0] == before


@pytest.mark.usefixtures("quiet_range")
def test_a_damaged_registry_is_begun_anew(tmp_path: Path) -> None:
    registry = tmp_path / "ports.json"
    registry.write_text("{")
    home = a_home(tmp_path / "home")
    ports, _ = port_book.choose(home, None, registry)
    assert json.loads(registry.read_text()) == {str(min(ports.values())): str(home)}


def test_a_block_with_a_busy_port_is_passed_over_and_why_is_said(
    tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    monkeypatch.setattr(port_book, "BASE", port)
    monkeypatch.setattr(port_book, "_LAST_BASE", port + 8 * port_book.BLOCK)
    ports, reason = port_book.choose(a_home(tmp_path / "home"), None, tmp_path / "ports.json")
    assert port not in ports.values()
    assert f"port {port} is in use by pid {os.getpid()}" in reason
    with pytest.raises(DeployError):
        port_book.choose(tmp_path / "home", port, tmp_path / "ports.json")
