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
        faces_model: file of the YuNet face detector; None where it is not at hand. Enters the faces version.
        threads: CPU threads of one model, >= 1.
        device: ``cpu`` or ``cuda`` (production only). Enters versions: precision differs.
    """

    models_dir: Path = Path("models")
    faces_model: Path | None = None
    threads: int = 1
    device: Device = "cpu"

    def as_strings(self) -> dict[str, str]:
        """Return what ``from_strings`` reads, for ``Job.settings``."""
        return {
            "models_dir": str(self.models_dir),
            "faces_model": str(self.faces_model or ""),
            "threads": str(self.threads),
            "device": self.device,
        }

    @classmethod
    def from_strings(cls, strings: Mapping[str, str]) -> ModelSettings:
        """Return settings from ``as_strings``, or from any mapping with some of its keys.

        Raises: ValueError (permanent) when a value is none that can be.
        """
        threads, device = int(strings.get("threads") or 1), strings.get("device") or "cpu"
        if threads < 1 or device not in DEVICES:
            raise ValueError(f"threads must be >= 1 and device one of {DEVICES}, got {threads} and {device!r}")
        return cls(
            models_dir=Path(strings.get("models_dir") or "models"),
            faces_model=Path(strings["faces_model"]) if strings.get("faces_model") else None,
            threads=threads,
            device=device,
        )
