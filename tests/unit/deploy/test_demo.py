"""Demo: the commands that it prints at its end are of the stack that it started."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.demo.commands import _last_lines
from deploy.local.home import home_at


def test_its_commands_name_the_home_only_where_it_is_not_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HEIMDEX_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert "--home" not in _last_lines(home_at(None), 1.0)
    elsewhere = tmp_path / "my stack"
    assert _last_lines(home_at(elsewhere), 1.0).count(f"heimdex --home '{elsewhere}' ") == 4
    monkeypatch.setenv("HEIMDEX_HOME", str(elsewhere))
    assert _last_lines(home_at(None), 1.0).count(f"heimdex --home '{elsewhere}' ") == 4
