"""Distributions: this tree -> wheels, and an empty environment with the SDK's two of them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sysconfig.get_path("scripts")) / "uv"


def run(*command: str | Path, cwd: Path = ROOT, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; output is captured, failure is the caller's to judge."""
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def build(source: Path, out: Path) -> Path:
    """Build one wheel without network and return its path."""
    done = run(
        UV, "build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable, "-o", out, source
    )
    assert done.returncode == 0, done.stderr
    return max(out.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime_ns)


def install_sdk(folder: Path) -> Path:
    """Return the interpreter of an empty environment into which only the SDK's wheels went."""
    wheels = [build(ROOT / "gen", folder / "wheels"), build(ROOT / "clients" / "python", folder / "wheels")]
    assert run(UV, "venv", "--python", sys.executable, folder / "venv").returncode == 0
    python = folder / "venv" / "bin" / "python"
    constraints = ("--constraints", ROOT / "requirements.lock")
    install: tuple[str | Path, ...] = (UV, "pip", "install", "--python", python, *constraints, *wheels)
    offline = run(*install, "--offline")  # what `make setup` left in uv's cache is enough
    if offline.returncode != 0:
        online = run(*install)
        assert online.returncode == 0, online.stderr
    return python
