"""Assembling: whole or nothing, quick the second time, nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.models import assets
from adapters.models.weights import sha256_of
from contracts.errors import ModelUnavailable


def test_all_parts_are_there_and_nothing_else(models_dir: Path) -> None:
    names = {path.name for path in models_dir.iterdir()}
    assert len(names) == 4
    assert not [name for name in names if name.startswith(".")]
    assert sha256_of(models_dir / "whisper-base" / "model.bin") == assets.WHISPER_SHA256


def test_the_second_run_does_no_work(models_dir: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in models_dir.rglob("*")}
    shares: list[float] = []
    assets.assemble(models_dir, shares.append)
    assert shares == [1.0]
    assert {path: path.stat().st_mtime_ns for path in models_dir.rglob("*")} == before


def test_a_cut_run_leaves_nothing_and_the_next_completes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    def works(path: Path) -> None:
        path.write_bytes(b"whole")

    monkeypatch.setattr(assets, "_assets", lambda: (assets.Asset("part", fails),))
    with pytest.raises(KeyboardInterrupt):
        assets.assemble(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(assets, "_assets", lambda: (assets.Asset("part", works),))
    assets.assemble(tmp_path)
    assert (tmp_path / "part").read_bytes() == b"whole"


def test_of_two_runs_at_once_one_waits_for_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()
    made: list[Path] = []

    def make(path: Path) -> None:
        begun.set()
        assert may_end.wait(10)
        path.mkdir()
        (path / "file").write_bytes(b"whole")
        made.append(path)

    monkeypatch.setattr(assets, "_assets", lambda: (assets.Asset("folder", make),))
    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(assets.assemble, tmp_path)]
        assert begun.wait(10)
        runs.append(threads.submit(assets.assemble, tmp_path))
        may_end.set()
        assert [run.result(10) for run in runs] == [(tmp_path / "folder",)] * 2
    assert len(made) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_run_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill = (
        "import os, signal; from pathlib import Path; from adapters.models import assets\n"
        "def make(path): path.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "assets._assets = lambda: (assets.Asset('part', make),)\n"
        f"assets.assemble(Path({str(tmp_path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", kill], check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(assets, "_assets", lambda: (assets.Asset("part", Path.touch),))
    assets.assemble(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_wrong_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "WHISPER_SHA256", "0" * 64)
    with pytest.raises(ModelUnavailable, match="digest"):
        assets.assemble(tmp_path)
    assert not (tmp_path / "whisper-base").exists()


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main([]) == 2
    assert "usage" in capsys.readouterr().err
