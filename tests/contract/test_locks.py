"""Locks: pyproject.toml, the two requirements locks, package-lock.json -> they agree, carry hashes and name no host."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
OURS = {"heimdex", "heimdex-protos", "heimdex-server"}
LOCKS = ("requirements.lock", "requirements-production.lock")


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package in a lock by canonical name."""
    found = re.findall(r"^([^\s=]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {canonicalize_name(re.sub(r"\[.*", "", name)): version for name, version in found}


def requirements(*, production: bool) -> list[Requirement]:
    """Return what the three distributions and the server's dependency groups ask for directly."""
    texts: list[str] = []
    for folder in (ROOT, ROOT / "gen", ROOT / "clients" / "python"):
        table = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        texts += table["project"]["dependencies"]
        texts += [text for group in table.get("dependency-groups", {}).values() for text in group]
        if production:
            texts += table["project"].get("optional-dependencies", {}).get("production", [])
    return [requirement for text in texts if canonicalize_name((requirement := Requirement(text)).name) not in OURS]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_satisfies_every_direct_requirement(lock: str) -> None:
    locked = pins(lock)
    unmet = [
        f"{requirement} (locked: {locked.get(canonicalize_name(requirement.name), 'absent')})"
        for requirement in requirements(production=lock == "requirements-production.lock")
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"), prereleases=True)
    ]
    assert unmet == [], "run `make lock`"


def test_the_production_lock_extends_the_default_one() -> None:
    production = pins("requirements-production.lock")
    assert {name: production.get(name) for name in pins("requirements.lock")} == pins("requirements.lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock: str) -> None:
    blocks = re.split(r"\n(?=\S)", (ROOT / lock).read_text(encoding="utf-8").strip())
    assert len(blocks) > 100
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("lock", [*LOCKS, "package-lock.json", "build-constraints.txt"])
def test_no_lock_names_a_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url.*|--find-links.*", text) == []


def test_npm_packages_are_pinned_by_digest() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []


@pytest.mark.parametrize("folder", ["gen/heimdex", "clients/python/heimdex", "proto"])
def test_shared_names_stay_namespaces(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()
