"""Assembling: whole or nothing, quick the second time, nothing left behind."""

from __future__ import annotations

import threading
import time
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
    began = time.monotonic()
    shares: list[float] = []
    assets.assemble(models_dir, shares.append)
    assert time.monotonic() - began < 1.0
    assert shares[-1] == 1.0
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


def test_two_runs_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(2)

    def make(path: Path) -> None:
        path.mkdir()
        (path / "file").write_bytes(b"whole")
        together.wait(10)

    monkeypatch.setattr(assets, "_assets", lambda: (assets.Asset("folder", make),))
    failures: list[BaseException] = []

    def run() -> None:
        try:
            assets.assemble(tmp_path)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder" / "file").read_bytes() == b"whole"


def test_wrong_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "WHISPER_SHA256", "0" * 64)
    with pytest.raises(ModelUnavailable, match="digest"):
        assets.assemble(tmp_path)
    assert not (tmp_path / "whisper-base").exists()


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert assets.main([]) == 2
    assert "usage" in capsys.readouterr().err
