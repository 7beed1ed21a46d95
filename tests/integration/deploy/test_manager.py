"""The manager with a process that cannot run: `up` does not wait for what will never be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import stack
from deploy.local.failure import DeployError
from deploy.local.home import Home, new_config, write_config
from deploy.local.ports import block
from deploy.local.processes import table
from deploy.local.supervisor import Supervisor

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose manager runs, on a machine without any server."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    home = Home(tmp_path / "home")
    home.create()
    write_config(home, new_config(block(31000), "small"))
    Supervisor(home).launch(table(home))
    yield home
    Supervisor(home).shut_down()


def test_a_process_that_ends_each_time_is_given_up_with_its_last_words(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "_STARTS", 2)
    manager = Supervisor(home)
    manager.start(["objects"])
    progress = stack._Progress(home, manager, lambda _: None)
    with pytest.raises(DeployError) as caught:
        progress.wait_ready([process for process in table(home) if process.name == "objects"])
    said = str(caught.value)
    assert said.startswith("objects ends as soon as it is started: FileNotFoundError: ")
    assert said.endswith("; see `heimdex logs objects`; `heimdex down` stops the rest")
    assert "\n" not in said
