"""Weights of the production profile: a model hub -> a folder the models load from, each file checked by digest.

``python -m adapters.models.pull DIR``. A digest is one of the table below, or, where none stands there, what the hub
itself declared at the first pull; it is then kept in ``pulled.json`` beside the weights, and every later pull and check
holds the files to it. ``--check`` compares without the network.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.models.faces import sface, yunet
from adapters.models.speech.faster_whisper import TURBO
from adapters.models.text import bge_m3
from adapters.models.vision import siglip2
from adapters.models.weights import sha256_of
from contracts.errors import ModelUnavailable

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


Describe = Callable[[str], Declared]
Fetch = Callable[[str, str, str, Path], Path]
"""Repository, commit, file, folder -> the file, downloaded."""


def pull(
    models_dir: Path,
    repositories: Sequence[Repository],
    *,
    describe: Describe,
    fetch: Fetch,
    say: Callable[[str], None],
) -> None:
    """Fetch what is missing or wrong; write each file's digest into the ledger.

    Raises: ModelUnavailable (transient) naming the file whose digest differs; it is removed.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    ledger = read_ledger(models_dir)
    for repository in repositories:
        folder = models_dir / repository.folder
        keys = {name: f"{repository.folder}/{name}" for name in repository.files}
        if all(key in ledger and _matches(models_dir / key, ledger[key]) for key in keys.values()):
            say(f"{repository.name}: there already")
            continue
        declared = describe(repository.name)
        for name, key in keys.items():
            wanted = repository.digests.get(name) or ledger.get(key) or declared.digests.get(name)
            path = folder / name
            if wanted is None or not _matches(path, wanted):
                say(f"{repository.name}: {name}")
                folder.mkdir(parents=True, exist_ok=True)
                fetched = fetch(repository.name, declared.commit, name, folder)
                if fetched != path:
                    shutil.move(fetched, path)
            found = sha256_of(path)
            if wanted is not None and found != wanted:
                path.unlink()
                raise ModelUnavailable("models", f"{key} has digest {found}, not {wanted}: removed; pull again")
            ledger[key] = found
            (models_dir / LEDGER).write_text(json.dumps(ledger, indent=2, sort_keys=True) + "\n")


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


def _describe(repository: str) -> Declared:
    from huggingface_hub import HfApi

    info: Any = HfApi().model_info(repository, files_metadata=True)
    digests = {file.rfilename: file.lfs.sha256 for file in info.siblings if file.lfs is not None}
    return Declared(info.sha, digests)


def _fetch(repository: str, commit: str, name: str, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repository, name, revision=commit, local_dir=folder))


def main(arguments: Sequence[str]) -> int:
    """Pull or check; exit 0, or 5 when the hub does not answer or a file is wrong."""
    parser = argparse.ArgumentParser(prog="python -m adapters.models.pull", description=__doc__)
    parser.add_argument("models_dir", type=Path, help="folder for the weights; about 8 GB")
    parser.add_argument("--check", action="store_true", help="only compare digests; no network")
    options = parser.parse_args(arguments)
    if options.check:
        faults = check(options.models_dir, REPOSITORIES)
        sys.stdout.writelines(f"{fault}\n" for fault in faults)
        return 5 if faults else 0
    try:
        pull(
            options.models_dir,
            REPOSITORIES,
            describe=_describe,
            fetch=_fetch,
            say=lambda line: sys.stdout.write(f"{line}\n") and None,
        )
    except (ModelUnavailable, OSError) as error:  # the hub's client raises OSErrors
        sys.stderr.write(f"pull failed: {error}\n")
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
