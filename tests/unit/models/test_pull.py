"""Pulling weights: only files of the right digest stay; the hub's word of the first pull is kept. No network here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from adapters.models.pull import LEDGER, REPOSITORIES, Declared, Repository, check, main, pull
from contracts.errors import ModelUnavailable

CONTENT = {"model.bin": b"weights", "config.json": b"{}"}
REPOSITORY = Repository("some/model", "some-model", ("model.bin", "config.json"))


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Hub:
    """A hub of local bytes that declares digests of large files only, as real ones do."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.declared = {"model.bin": _digest(CONTENT["model.bin"])}
        self.fetched: list[str] = []

    def describe(self, repository: str) -> Declared:
        return Declared("c0ffee", self.declared)

    def fetch(self, repository: str, commit: str, name: str, folder: Path) -> None:
        assert commit == "c0ffee"
        assert not (folder / name).exists()  # the real client would take it for finished
        self.fetched.append(name)
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(self.content[name])


def _pull(folder: Path, hub: Hub, repository: Repository = REPOSITORY) -> None:
    pull(folder, [repository], hub, lambda _: None)


def test_pulls_checks_and_does_nothing_the_second_time(tmp_path: Path) -> None:
    hub = Hub(CONTENT)
    _pull(tmp_path, hub)
    assert (tmp_path / "some-model" / "model.bin").read_bytes() == b"weights"
    ledger = json.loads((tmp_path / LEDGER).read_text())
    assert ledger == {f"some-model/{name}": _digest(body) for name, body in CONTENT.items()}
    assert check(tmp_path, [REPOSITORY]) == []
    _pull(tmp_path, hub)
    assert hub.fetched == ["model.bin", "config.json"]


def test_bytes_that_differ_from_the_declared_digest_are_removed(tmp_path: Path) -> None:
    hub = Hub({**CONTENT, "model.bin": b"tampered"})
    with pytest.raises(ModelUnavailable, match=r"some-model/model\.bin has digest"):
        _pull(tmp_path, hub)
    assert not (tmp_path / "some-model" / "model.bin").exists()
    _pull(tmp_path, Hub(CONTENT))
    assert check(tmp_path, [REPOSITORY]) == []


def test_a_known_digest_outranks_what_the_hub_says(tmp_path: Path) -> None:
    known = Repository("some/model", "some-model", ("model.bin",), {"model.bin": _digest(b"the true one")})
    with pytest.raises(ModelUnavailable):
        _pull(tmp_path, Hub(CONTENT), known)


def test_damage_is_found_and_mended(tmp_path: Path) -> None:
    hub = Hub(CONTENT)
    _pull(tmp_path, hub)
    (tmp_path / "some-model" / "config.json").write_bytes(b"damaged")
    (fault,) = check(tmp_path, [REPOSITORY])
    assert "config.json differs" in fault
    _pull(tmp_path, hub)
    assert check(tmp_path, [REPOSITORY]) == []
    assert hub.fetched == ["model.bin", "config.json", "config.json"]


def test_the_ledger_holds_files_without_a_declared_digest(tmp_path: Path) -> None:
    _pull(tmp_path, Hub(CONTENT))
    (tmp_path / "some-model" / "config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        _pull(tmp_path, Hub({**CONTENT, "config.json": b'{"changed": true}'}))


def test_an_empty_folder_lacks_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "--check"]) == 5
    out = capsys.readouterr().out
    assert out.count("is missing") == sum(len(repository.files) for repository in REPOSITORIES)


def test_a_stray_file_without_digest_is_named(tmp_path: Path) -> None:
    (tmp_path / "some-model").mkdir()
    (tmp_path / "some-model" / "model.bin").write_bytes(b"weights")
    assert any("no known digest" in fault for fault in check(tmp_path, [REPOSITORY]))


def test_face_models_have_known_digests() -> None:
    faces = [repository for repository in REPOSITORIES if repository.folder == "faces"]
    assert len(faces) == 2
    assert all(set(repository.digests) == set(repository.files) for repository in faces)
