"""Distributions: this tree -> three wheels; the SDK's two suffice for the client half of the `heimdex` command."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sysconfig.get_path("scripts")) / "uv"
PACKAGES = ("contracts", "gateway", "processors", "indexer", "control", "adapters", "deploy")


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; output is captured, failure is the caller's to judge."""
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


def build(source: Path, out: Path) -> Path:
    """Build one wheel without network and return its path."""
    done = run(
        UV, "build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable, "-o", out, source
    )
    assert done.returncode == 0, done.stderr
    return max(out.glob("*.whl"), key=lambda wheel: wheel.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def sdk_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an empty environment into which only the SDK's wheels went."""
    folder = tmp_path_factory.mktemp("sdk")
    wheels = [build(ROOT / "gen", folder / "wheels"), build(ROOT / "clients" / "python", folder / "wheels")]
    assert run(UV, "venv", "--python", sys.executable, folder / "venv").returncode == 0
    python = folder / "venv" / "bin" / "python"
    install: list[str | Path] = [
        UV,
        "pip",
        "install",
        "--python",
        python,
        "--constraints",
        ROOT / "requirements.lock",
        *wheels,
    ]
    offline = run(*install, "--offline")  # what `make setup` left in uv's cache is enough
    if offline.returncode != 0:
        online = run(*install)
        assert online.returncode == 0, online.stderr
    return python


def test_the_server_wheel_holds_every_tracked_file_of_its_packages(tmp_path: Path) -> None:
    tracked = run("git", "ls-files", "--", *PACKAGES)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout: nothing to compare the wheel with")
    with zipfile.ZipFile(build(ROOT, tmp_path)) as wheel:
        packed = set(wheel.namelist())
    assert {name for name in tracked.stdout.splitlines() if (ROOT / name).is_file()} - packed == set()


def test_the_sdk_imports_with_its_own_wheels_only(sdk_python: Path, tmp_path: Path) -> None:
    done = run(sdk_python, "-c", "import heimdex.client, heimdex.video.v1.video_pb2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_client_verbs_are_there_without_the_server(sdk_python: Path, tmp_path: Path) -> None:
    done = run(sdk_python.with_name("heimdex"), "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "search" in done.stdout


def test_operator_verbs_name_the_missing_package_in_one_line(sdk_python: Path, tmp_path: Path) -> None:
    done = run(sdk_python.with_name("heimdex"), "up", cwd=tmp_path)
    assert done.returncode == 2
    assert "heimdex-server" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
