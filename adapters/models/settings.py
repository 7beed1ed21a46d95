"""Model settings: what every model needs to know of its machine; travels to a model child as strings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Device = Literal["cpu", "cuda"]
DEVICES: tuple[Device, ...] = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Where weights lie and what they run on.

    Attributes:
        models_dir: folder that ``assets.assemble`` (small) or ``pull`` (production) filled.
        faces_model: file of the YuNet face detector; None where it is not at hand. Enters the versions of faces and
            affect.
        threads: CPU threads of one model, >= 1.
        device: ``cpu`` or ``cuda`` (production only). Enters versions: precision differs.
    """

    models_dir: Path = Path("models")
    faces_model: Path | None = None
    threads: int = 1
    device: Device = "cpu"


def to_mapping(profile: str, settings: ModelSettings) -> dict[str, str]:
    """Return what ``from_mapping`` reads, for ``Job.settings``: profile, models_dir, faces_model, threads, device."""
    return {
        "profile": profile,
        "models_dir": str(settings.models_dir),
        "faces_model": str(settings.faces_model or ""),
        "threads": str(settings.threads),
        "device": settings.device,
    }


def from_mapping(mapping: Mapping[str, str]) -> tuple[str, ModelSettings]:
    """Return profile and settings from ``to_mapping``, whatever else the mapping holds.

    Raises: KeyError, ValueError (permanent) when a value is missing or none that can be.
    """
    threads, device = int(mapping["threads"]), mapping["device"]
    if threads < 1 or device not in DEVICES:
        raise ValueError(f"threads must be >= 1 and device one of {DEVICES}, got {threads} and {device!r}")
    settings = ModelSettings(
        models_dir=Path(mapping["models_dir"]),
        faces_model=Path(mapping["faces_model"]) if mapping["faces_model"] else None,
        threads=threads,
        device=device,
    )
    return mapping["profile"], settings
