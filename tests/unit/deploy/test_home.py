"""Home: secrets stay private, choices are remembered, damage is named."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from deploy.local import home as home_book
from deploy.local.failure import DeployError
from deploy.local.home import Config, Home
from deploy.local.ports import block


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / ("home" * 20))  # too long for a socket
    home.create()
    return home


def a_config() -> Config:
    return home_book.new_config(block(17000), "small")


def test_a_config_comes_back_as_it_was_written(home: Home) -> None:
    config = a_config()
    home_book.write_config(home, config)
    assert home_book.read_config(home) == config


def test_only_the_user_reads_home_and_secrets(home: Home) -> None:
    home_book.write_config(home, a_config())
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert home.config_file.stat().st_mode & 0o777 == 0o600


def test_secrets_differ_between_homes() -> None:
    one, two = a_config(), a_config()
    assert {one.s3_secret_key, one.page_token_key, one.kafka_cluster_id}.isdisjoint(
        {two.s3_secret_key, two.page_token_key, two.kafka_cluster_id}
    )


def test_a_new_home_has_no_config_and_a_verb_that_needs_one_says_so(home: Home) -> None:
    assert home_book.read_config(home) is None
    with pytest.raises(DeployError, match=r"there is no stack in .*heimdex up"):
        home_book.require_config(home)


@pytest.mark.parametrize("text", ["", "{", "{}", '{"version": 1}', '{"version": 1, "surprise": 2}', "[]"])
def test_a_damaged_config_is_named_not_replaced(home: Home, text: str) -> None:
    home.config_file.write_text(text)
    with pytest.raises(DeployError, match="is damaged"):
        home_book.read_config(home)
    assert home.config_file.read_text() == text


def test_a_config_of_a_newer_version_is_refused(home: Home) -> None:
    home_book.write_config(home, a_config())
    document = json.loads(home.config_file.read_text())
    home.config_file.write_text(json.dumps(document | {"version": 99}))
    with pytest.raises(DeployError, match="newer Heimdex"):
        home_book.read_config(home)


def test_the_socket_path_is_short_however_long_the_home_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 200)
    deep = Home(tmp_path / ("h" * 200) / ("i" * 200))
    assert len(str(deep.runtime / "supervisor.sock")) < 100


def test_the_socket_lies_in_the_home_where_its_path_is_short_enough() -> None:
    assert Home(Path("/home/somebody/.local/share/heimdex")).runtime == Path("/home/somebody/.local/share/heimdex/run")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder of temporary files, where the sockets of homes with long paths go."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_runtime_folder_of_ones_own_is_private(home: Home, temporary: Path) -> None:
    folder = home.create_runtime()
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_runtime_folder_of_somebody_else_is_refused(home: Home, temporary: Path) -> None:
    home.runtime.mkdir(mode=0o777)
    home.runtime.chmod(0o777)
    with pytest.raises(DeployError, match="belongs to somebody else"):
        home.create_runtime()


def test_a_link_in_place_of_the_runtime_folder_is_refused(home: Home, temporary: Path) -> None:
    (temporary / "elsewhere").mkdir(mode=0o700)
    home.runtime.symlink_to(temporary / "elsewhere")
    with pytest.raises(DeployError, match="belongs to somebody else"):
        home.create_runtime()


def test_the_users_own_runtime_folder_is_taken_where_there_is_one(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        assert home.create_runtime().parent == Path(folder)


def test_the_default_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEIMDEX_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert home_book.home_at(None).root == tmp_path / "heimdex"
    monkeypatch.setenv("HEIMDEX_HOME", str(tmp_path / "named"))
    assert home_book.home_at(None).root == tmp_path / "named"
    assert home_book.home_at(tmp_path / "flag").root == tmp_path / "flag"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DeployError, match="cannot use"):
        Home(tmp_path / "home").create()


def test_a_file_in_the_homes_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(DeployError, match=r"cannot use .*--home"):
        Home(tmp_path / "home").create()
