"""Where to call and as whom: flags before the environment before what a stack has written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heimdex.client.config import Config, NotConfigured, default_home, load


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HEIMDEX_HOME", "HEIMDEX_ENDPOINT", "HEIMDEX_TOKEN", "HEIMDEX_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def write(home: Path, **values: object) -> Path:
    home.mkdir(parents=True)
    (home / "client.json").write_text(json.dumps(values), encoding="utf-8")
    return home


def test_a_stack_is_found_in_its_home(tmp_path: Path) -> None:
    home = write(tmp_path / "stack", endpoint="127.0.0.1:7000", token="stored", insecure=True)
    assert load(home=home) == Config("127.0.0.1:7000", "stored", insecure=True)
    write(default_home(), endpoint="127.0.0.1:7001", token="default")
    assert load().endpoint == "127.0.0.1:7001"


@pytest.mark.parametrize("argument", [None, ""])
def test_an_empty_home_is_none(argument: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(default_home(), endpoint="127.0.0.1:7001", token="default")
    monkeypatch.chdir(write(tmp_path / "here", endpoint="127.0.0.1:7002", token="here"))
    monkeypatch.setenv("HEIMDEX_HOME", "")
    assert load(home=argument) == Config("127.0.0.1:7001", "default", insecure=True)
    monkeypatch.setenv("HEIMDEX_ENDPOINT", "heimdex.example:443")
    assert load(home=argument).endpoint == "heimdex.example:443"


def test_arguments_come_before_the_environment_before_the_usual_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = write(tmp_path / "stack", endpoint="127.0.0.1:7000", token="stored")
    write(default_home(), endpoint="127.0.0.1:7001", token="default")
    monkeypatch.setenv("HEIMDEX_ENDPOINT", "heimdex.example:443")
    monkeypatch.setenv("HEIMDEX_TOKEN", "of-environment")
    assert load() == Config("heimdex.example:443", "of-environment", insecure=False)
    assert load(home=home) == Config("127.0.0.1:7000", "stored", insecure=True)
    assert load(home=home, endpoint="other.example:443", token="given") == Config("other.example:443", "given")


def test_the_token_of_a_home_is_sent_to_no_other_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write(tmp_path / "stack", endpoint="127.0.0.1:7000", token="stored")
    assert load(home=home, endpoint="other.example:443").token == ""
    assert load(home=home, endpoint="127.0.0.1:7000").token == "stored"
    monkeypatch.setenv("HEIMDEX_HOME", str(home))
    monkeypatch.setenv("HEIMDEX_ENDPOINT", "other.example:443")
    assert load().token == ""


def test_only_loopback_is_plain_unless_told() -> None:
    assert load(endpoint="127.0.0.1:1").insecure
    assert load(endpoint="localhost:1").insecure
    assert not load(endpoint="heimdex.example:1").insecure


def test_so_is_tls_on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = write(tmp_path / "stack", endpoint="127.0.0.1:7000", token="stored", insecure=False)
    assert not load(home=home).insecure
    monkeypatch.setenv("HEIMDEX_INSECURE", "0")
    assert not load(endpoint="127.0.0.1:1").insecure


def test_plain_text_elsewhere_must_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEIMDEX_INSECURE", "1")
    assert load(endpoint="heimdex.example:1").insecure


def test_without_a_stack_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="heimdex up"):
        load(home=tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"endpoint": ', b"[]", b"\xff\xfe"])
def test_a_file_that_no_stack_wrote_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "client.json").write_bytes(content)
    with pytest.raises(NotConfigured, match=r"client\.json is not what `heimdex up` wrote"):
        load(home=tmp_path)
    assert load(home=tmp_path, endpoint="localhost:1", token="given") == Config("localhost:1", "given", insecure=True)
