"""Work: the call shape of every stage: what the runner hands to a worker and what it gets back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from contracts.errors import BadArtifact
from contracts.ports import Objects, Progress
from heimdex.common.v1 import common_pb2
from heimdex.events.v1 import manifest_pb2

OK = common_pb2.OUTCOME_OK
ARTIFACT = "artifact.pb"
"""Name of the blob that holds the stage's message."""


@dataclass(frozen=True, slots=True)
class Run:
    """One stage run, as the parent sees it.

    Attributes:
        plan: of the revision.
        inputs: manifests of every *ancestor* stage by noun (not only those waited for), whatever their outcome.
        workdir: private folder of this try; removed afterwards.
    """

    plan: manifest_pb2.Plan
    stage: str
    spec: str
    inputs: Mapping[str, manifest_pb2.Manifest]
    workdir: Path


@dataclass(frozen=True, slots=True)
class Job:
    """What crosses into the model child: picklable; files by path, never clients.

    Attributes:
        workdir: where inputs lie and outputs go.
        inputs: name -> local path of an input file.
        artifacts: stage noun -> serialised artifact message of an ancestor.
        settings: what the stage needs to know besides.
    """

    workdir: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What a stage made: picklable.

    Attributes:
        outcome: OK or a named outcome; REJECTED and FAILED are raised, not returned.
        artifact: serialised message (``Stage.artifact``); empty only for a named outcome.
        blobs: name -> local path of further files.
        counts: numbers for the fact.
        labels: words for the fact (``content_type``, ``language``), never user text.
    """

    outcome: common_pb2.Outcome.ValueType = OK
    artifact: bytes = b""
    blobs: Mapping[str, Path] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


Perform = Callable[[Job, Progress], Result]


class Worker(Protocol):
    """A stage's edge: reads inputs, names the function that does the work.

    Attributes:
        stage: noun.
        perform: ``module:function`` of a ``Perform``, run in the model child.
        model_version: enters the manifest; empty where there is no model.
    """

    stage: str
    perform: str
    model_version: str

    async def prepare(self, run: Run, objects: Objects) -> Job | Result:
        """Fetch what the work needs into ``run.workdir``; a Result at once when there is nothing to do.

        Raises: Rejected (the input's fault), DependencyUnavailable (transient), BadArtifact (permanent).
        """
        ...


def has_result(manifest: manifest_pb2.Manifest | None) -> bool:
    """Return whether a manifest holds an artifact to read (outcome OK)."""
    return manifest is not None and manifest.outcome == OK


def blob(manifest: manifest_pb2.Manifest, name: str) -> manifest_pb2.Blob:
    """Return the blob ``name`` of a manifest. Raises BadArtifact (permanent) when it has none."""
    for candidate in manifest.blobs:
        if candidate.name == name:
            return candidate
    raise BadArtifact(f"manifest has no blob {name!r}")


async def read_artifact(objects: Objects, manifest: manifest_pb2.Manifest) -> bytes:
    """Return the bytes of a manifest's artifact. Raises BadArtifact (permanent) when they do not match their digest."""
    entry = blob(manifest, ARTIFACT)
    body, _ = await objects.get(entry.key)
    if hashlib.sha256(body).hexdigest() != entry.sha256:
        raise BadArtifact(f"digest of {entry.key} differs from its manifest")
    return body
