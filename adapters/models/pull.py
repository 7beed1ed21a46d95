"""Weights of the production profile: a model hub -> a folder the models load from, each file checked by digest.

``python -m adapters.models.pull DIR``; cut short, it goes on where it was. A digest is one of the table below, or,
where none stands there, what the hub declared at the first pull; it is kept in ``pulled.json`` beside the weights, and
every later pull and check holds the files to it. ``--check`` compares without the network. HF_ENDPOINT names a mirror.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from adapters.models.faces import sface, yunet
from adapters.models.speech.faster_whisper import TURBO
from adapters.models.text import bge_m3
from adapters.models.vision import siglip2
from adapters.models.weights import sha256_of
from contracts.errors import DependencyUnavailable, HeimdexError, ModelUnavailable

LEDGER = "pulled.json"
SFACE_SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
"""Of ``face_recognition_sface_2021dec.onnx``, 38,696,353 bytes. Source: OpenCV Zoo."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the hub: where its files go and which are wanted; ``digests`` are those known beforehand."""

    name: str
    folder: str
    files: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict)


REPOSITORIES = (
    Repository(
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        TURBO.folder,
        ("model.bin", "config.json", "tokenizer.json", "preprocessor_config.json", "vocabulary.json"),
    ),
    Repository(
        "BAAI/bge-m3",
        bge_m3.FOLDER,
        (
            "config.json",
            "pytorch_model.bin",
            "sentencepiece.bpe.model",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "colbert_linear.pt",
            "sparse_linear.pt",
        ),
    ),
    Repository(
        "google/siglip2-so400m-patch14-384",
        siglip2.FOLDER,
        (
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ),
    ),
    Repository("opencv/face_detection_yunet", sface.FOLDER, (sface.YUNET,), {sface.YUNET: yunet.SHA256}),
    Repository("opencv/face_recognition_sface", sface.FOLDER, (sface.SFACE,), {sface.SFACE: SFACE_SHA256}),
)
"""Affect reads the folder of SigLIP: it has no weights of its own."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the hub says of a repository: its commit and the SHA-256 of files it stores by digest."""

    commit: str
    digests: Mapping[str, str]


class Hub(Protocol):
    """Where weights are kept. Raises DependencyUnavailable (transient) when it does not answer or lacks a file."""

    def describe(self, repository: str) -> Declared:
        """Return what the hub says of a repository now."""
        ...

    def fetch(self, repository: str, commit: str, name: str, folder: Path) -> None:
        """Write file ``name`` of that commit to ``folder``; goes on with what an earlier try left there."""
        ...


def pull(models_dir: Path, repositories: Sequence[Repository], hub: Hub, say: Callable[[str], None]) -> None:
    """Fetch what is missing or wrong; write each file's digest into the ledger.

    Raises:
        ModelUnavailable: a file's digest differs; it is removed, and the message names it (transient).
        DependencyUnavailable: the hub does not answer (transient).
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    ledger = read_ledger(models_dir)
    for repository in repositories:
        keys = {name: f"{repository.folder}/{name}" for name in repository.files}
        if all(key in ledger and _matches(models_dir / key, ledger[key]) for key in keys.values()):
            say(f"{repository.name}: there already")
            continue
        declared = hub.describe(repository.name)
        for name, key in keys.items():
            path = models_dir / key
            wanted = repository.digests.get(name) or ledger.get(key) or declared.digests.get(name)
            if wanted is None or not _matches(path, wanted):
                say(f"{repository.name}: {name}")
                path.unlink(missing_ok=True)  # the hub's client would take it for finished
                hub.fetch(repository.name, declared.commit, name, models_dir / repository.folder)
            found = sha256_of(path)
            if wanted is not None and found != wanted:
                path.unlink()
                raise ModelUnavailable("models", f"{key} has digest {found}, not {wanted}: removed; pull again")
            ledger[key] = found
            _write_ledger(models_dir, ledger)


def check(models_dir: Path, repositories: Sequence[Repository]) -> list[str]:
    """Return what is wrong with the files there, one line each; empty when all match. No network."""
    ledger = read_ledger(models_dir)
    faults = []
    for repository in repositories:
        for name in repository.files:
            key = f"{repository.folder}/{name}"
            wanted = repository.digests.get(name) or ledger.get(key)
            if not (models_dir / key).is_file():
                faults.append(f"{key} is missing")
            elif wanted is None:
                faults.append(f"{key} has no known digest")
            elif not _matches(models_dir / key, wanted):
                faults.append(f"{key} differs from digest {wanted}")
    return faults


def read_ledger(models_dir: Path) -> dict[str, str]:
    """Return path -> SHA-256 of what was pulled before; empty at first."""
    path = models_dir / LEDGER
    entries: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return entries


def _matches(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _write_ledger(models_dir: Path, ledger: Mapping[str, str]) -> None:
    unfinished = models_dir / f".{LEDGER}"
    unfinished.write_text(json.dumps(ledger, indent=2, sort_keys=True) + "\n")
    unfinished.replace(models_dir / LEDGER)


class HuggingFace:
    """A hub that speaks Hugging Face's protocol."""

    def __init__(self, endpoint: str | None = None) -> None:
        """Configure; nothing is sent. ``endpoint``: URL; None for HF_ENDPOINT or the public hub."""
        from huggingface_hub import HfApi

        self._api = HfApi(endpoint=endpoint)

    def describe(self, repository: str) -> Declared:
        """Return commit and digests of a repository now."""
        with self._answers(repository):
            info: Any = self._api.model_info(repository, files_metadata=True)
        return Declared(info.sha, {file.rfilename: file.lfs.sha256 for file in info.siblings if file.lfs is not None})

    def fetch(self, repository: str, commit: str, name: str, folder: Path) -> None:
        """Write file ``name`` to ``folder``; an unfinished one is kept beside it and gone on with."""
        with self._answers(f"{repository}/{name}"):
            self._api.hf_hub_download(repository, name, revision=commit, local_dir=folder)

    @contextmanager
    def _answers(self, wanted: str) -> Iterator[None]:
        import httpx

        failures = (OSError, httpx.HTTPError)
        try:
            yield
        except failures as error:
            first = str(error).strip().partition("\n")[0]
            told = f"no {wanted} from {self._api.endpoint}: {type(error).__name__}: {first}"
            raise DependencyUnavailable("hub", told) from error


def main(arguments: Sequence[str]) -> int:
    """Pull or check; exit 0, or 5 when the hub does not answer or a file is wrong."""
    parser = argparse.ArgumentParser(prog="python -m adapters.models.pull", description=__doc__)
    parser.add_argument("models_dir", type=Path, help="folder for the weights; about 8.5 GB")
    parser.add_argument("--check", action="store_true", help="only compare digests; no network")
    options = parser.parse_args(arguments)
    if options.check:
        faults = check(options.models_dir, REPOSITORIES)
        sys.stdout.writelines(f"{fault}\n" for fault in faults)
        return 5 if faults else 0
    try:
        pull(options.models_dir, REPOSITORIES, HuggingFace(), _say)
    except HeimdexError as error:
        sys.stderr.write(f"pull failed: {error.message}\n")
        return 5
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
