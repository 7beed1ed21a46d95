"""Processes: the laws of the table: order, loopback, bounds."""

from __future__ import annotations

import configparser
from pathlib import Path

from contracts.flow import CONTROL, STAGES
from deploy.local.home import Home, new_config
from deploy.local.ports import LOOPBACK, block
from deploy.local.processes import table
from deploy.local.provision import ServerTrees
from deploy.local.supervisor import render

HOME = Home(Path("/home/somebody/a 100% new home"))
PLACES = ServerTrees(Path("/java"), Path("/kafka"), Path("/opensearch"), Path("/versitygw"), Path("/models"))
CONFIG = new_config(block(17000), "small")
TABLE = {process.name: process for process in table(HOME, CONFIG, PLACES)}


def rank(name: str) -> int:
    return TABLE[name].stop_rank


def test_down_stops_the_door_first_and_what_others_stand_on_last() -> None:
    assert rank("gateway") < rank("inference")
    assert rank("gateway") < rank("asr") == rank("light") < rank("commit") < rank("control")
    assert rank("control") < rank("kafka") < rank("milvus-text") < rank("opensearch") < rank("objects")


def test_whatever_is_waited_for_is_in_the_table_and_stops_later() -> None:
    for process in TABLE.values():
        for other in process.after:
            assert rank(other) > process.stop_rank


def test_every_stage_and_every_control_part_has_one_process() -> None:
    words = [word for process in TABLE.values() if not process.is_server for word in process.command[2:]]
    for stage in STAGES:
        expected = 1 if stage != "commit" else 0
        assert words.count(stage) == expected, stage
    assert words.count("indexer.commit") == 1
    for part in CONTROL:
        assert words.count(part) == 1, part


def test_memory_is_bounded_everywhere() -> None:
    assert all(process.memory_bound_bytes > 0 for process in TABLE.values())
    for name in ("kafka", "opensearch"):
        assert any(part.startswith("-Xmx") for part in TABLE[name].command)


def test_servers_are_told_to_listen_on_the_loopback() -> None:
    for name in ("objects", "milvus-text", "milvus-vision"):
        assert any(part.startswith(LOOPBACK) for part in TABLE[name].command), name


def test_milvus_is_asked_to_end_with_the_one_signal_it_closes_its_data_on() -> None:
    assert TABLE["milvus-text"].stop_signal == TABLE["milvus-vision"].stop_signal == "INT"


def test_the_managers_configuration_survives_spaces_and_percent_signs() -> None:
    text = render(HOME, Path("/run/s 1%.sock"), TABLE.values())
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    assert parser["unix_http_server"]["file"] == "/run/s 1%%.sock"
    for name in TABLE:
        section = parser[f"program:{name}"]
        assert section["command"].endswith(f'"deploy.local.child" "/home/somebody/a 100%% new home" "{name}"')
        assert section["autorestart"] == "true"
        assert int(section["stdout_logfile_maxbytes"]) > 0


def test_a_signalled_manager_stops_in_the_same_order() -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(render(HOME, Path("/run/s.sock"), TABLE.values()))
    priority = {name: int(parser[f"program:{name}"]["priority"]) for name in TABLE}
    highest_first = sorted(TABLE, key=lambda name: -priority[name])
    assert [rank(name) for name in highest_first] == sorted(rank(name) for name in TABLE)
    assert int(parser["program:watchdog"]["priority"]) > max(priority.values())
