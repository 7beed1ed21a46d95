"""Environment: complete, documented, from the home alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from deploy.local import environment as book
from deploy.local.home import Config, Home, new_config
from deploy.local.ports import block
from deploy.local.processes import table
from deploy.local.provision import ServerTrees

HOME = Home(Path("/h"))
PLACES = ServerTrees(Path("/java"), Path("/kafka"), Path("/opensearch"), Path("/versitygw"), Path("/models"))


def config() -> Config:
    return new_config(block(17000), "small")


def test_every_variable_is_documented_and_every_documented_one_is_set() -> None:
    documentation = f"{book.environment.__doc__}{book.of_process.__doc__}"
    documented = set(re.findall(r"HEIMDEX_[A-Z0-9_]+\*?", documentation))
    prefixes = tuple(name[:-1] for name in documented if name.endswith("*"))
    given = book.environment(HOME, config(), Path("/models")) | book.of_process("asr", config())
    ours = {name for name in given if name.startswith("HEIMDEX_")}
    assert {name for name in ours if name not in documented and not name.startswith(prefixes)} == set()
    assert {name for name in documented if not name.endswith("*")} - ours == {"HEIMDEX_FACES_MODEL"}


def test_the_faces_model_is_named_only_where_it_is(tmp_path: Path) -> None:
    assert "HEIMDEX_FACES_MODEL" not in book.environment(HOME, config(), tmp_path)
    (tmp_path / book.YUNET_FILE).write_bytes(b"")
    assert book.environment(HOME, config(), tmp_path)["HEIMDEX_FACES_MODEL"] == str(tmp_path / book.YUNET_FILE)


def test_the_catalogue_is_sqlite_in_the_home_unless_a_url_is_chosen() -> None:
    assert book.environment(HOME, config(), Path("/m"))["HEIMDEX_CATALOG"] == "sqlite+aiosqlite:////h/data/catalog.db"
    chosen = replace(config(), catalog="postgresql+asyncpg://db/heimdex")
    assert book.environment(HOME, chosen, Path("/m"))["HEIMDEX_CATALOG"] == "postgresql+asyncpg://db/heimdex"


def test_the_users_settings_win() -> None:
    chosen = replace(config(), settings={"HEIMDEX_TOPIC_PARTITIONS": "1", "HEIMDEX_THREADS": "7"})
    assert book.environment(HOME, chosen, Path("/m"))["HEIMDEX_TOPIC_PARTITIONS"] == "1"
    assert book.of_process("asr", chosen)["HEIMDEX_THREADS"] == "7"


def test_nothing_of_heimdex_comes_from_the_callers_shell() -> None:
    assert book.inherited({"HEIMDEX_KAFKA": "elsewhere", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_every_process_has_a_slot_and_ports_of_its_own() -> None:
    processes = table(HOME, config(), PLACES)
    apps = [process for process in processes if not process.is_server]
    assert len({process.environment["HEIMDEX_INSTANCE"] for process in apps}) == len(apps)
    ports = [port for process in processes for port in process.ports.values()]
    assert sorted(ports) == sorted(config().ports.values())


def test_every_process_runs_one_thread_unless_told() -> None:
    for process in table(HOME, config(), PLACES):
        if process.command[0].endswith("java") or process.name == "objects":
            continue
        assert process.environment["OMP_NUM_THREADS"] == "1", process.name
