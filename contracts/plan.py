"""Plan: what is deployed and what is uploaded -> the specs that pin a revision's work. Pure.

The gateway fixes a plan with it when it creates a revision; a worker checks with it that it serves what was planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from google.protobuf.timestamp_pb2 import Timestamp

from contracts import flow, ids
from contracts.errors import BadArtifact
from heimdex.events.v1 import manifest_pb2

GIB = 1 << 30
MAX_DURATION_S = 600.0
MAX_BYTES = GIB

MIN_SCENE_S = 0.6
MAX_SCENE_S = 60.0
SCENE_THRESHOLD = 3.0
"""Ratio of a frame's change to that of its neighbours that is a cut. Source: AdaptiveDetector's default."""

FRAME_EVERY_S = 2.0
MAX_FRAMES_PER_SCENE = 12

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class TargetGeneration:
    """A generation that a revision is committed to.

    Attributes:
        generation: its number in the catalogue.
        model_versions: stage noun -> version, where they differ from the pipeline's.
    """

    generation: int
    model_versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is deployed: everything that changes results but the video itself.

    Attributes:
        model_versions: stage noun -> version of its model; stages without one are left out.
        settings: stage noun -> settings that change its result (``stage_settings``).
        max_duration_s: longest video taken.
    """

    model_versions: Mapping[str, str]
    settings: Mapping[str, Mapping[str, str]]
    max_duration_s: float = MAX_DURATION_S

    def model_version(self, noun: str, target: TargetGeneration | None = None) -> str:
        """Return the version of a stage's model for a generation; empty where there is none."""
        if target is not None and noun in target.model_versions:
            return target.model_versions[noun]
        return self.model_versions.get(noun, "")


def stage_settings(
    *, max_duration_s: float = MAX_DURATION_S, max_bytes: int = MAX_BYTES, language: str = ""
) -> dict[str, dict[str, str]]:
    """Return the settings of every stage that has some, by noun; values as text.

    Args:
        max_duration_s: longest video taken, seconds.
        max_bytes: largest file taken.
        language: BCP-47 of the speech; empty to detect it.
    """
    return {
        "validate": {"max_duration_s": f"{max_duration_s:g}", "max_bytes": str(max_bytes)},
        "asr": {"language": language},
        "scenes": {
            "min_scene_s": f"{MIN_SCENE_S:g}",
            "max_scene_s": f"{MAX_SCENE_S:g}",
            "threshold": f"{SCENE_THRESHOLD:g}",
        },
        "frames": {"every_s": f"{FRAME_EVERY_S:g}", "max_per_scene": str(MAX_FRAMES_PER_SCENE)},
    }


def pipeline(
    model_versions: Mapping[str, str],
    *,
    max_duration_s: float = MAX_DURATION_S,
    max_bytes: int = MAX_BYTES,
    language: str = "",
) -> Pipeline:
    """Return the pipeline of a deployment from its models' versions and its limits."""
    settings = stage_settings(max_duration_s=max_duration_s, max_bytes=max_bytes, language=language)
    return Pipeline(model_versions, settings, max_duration_s)


def stage_spec(
    deployed: Pipeline,
    noun: str,
    *,
    source_sha256: str,
    upstream: Sequence[str],
    faces_enabled: bool,
    revision: int,
    target: TargetGeneration,
    salt: str = "",
) -> str:
    """Return the spec of one stage for one generation.

    Args:
        upstream: specs of the stages waited for, in the order of the flow table.
        salt: forces a new run of the same work.
    """
    settings = dict(deployed.settings.get(noun, _NONE))
    if noun == "faces":
        settings["enabled"] = "true" if faces_enabled else "false"
    if noun == "commit":  # rows are of one revision in one generation
        settings |= {"revision": str(revision), "generation": str(target.generation)}
    return ids.spec(
        source_sha256=source_sha256,
        stage=noun,
        schema_version=flow.STAGES[noun].schema_version,
        model_version=deployed.model_version(noun, target),
        settings=settings,
        upstream=upstream,
        salt=salt,
    )


def specs(
    deployed: Pipeline,
    *,
    source_sha256: str,
    faces_enabled: bool,
    revision: int,
    generations: Sequence[TargetGeneration],
    salts: Mapping[str, str] = _NONE,
) -> dict[str, tuple[str, ...]]:
    """Return noun -> specs in the order of the flow: one where all generations agree, else one a generation.

    Args:
        generations: at least one, the serving one first.
        salts: noun -> salt of stages that are to run again.
    """
    planned: dict[str, tuple[str, ...]] = {}
    for noun in flow.STAGES:
        each = tuple(
            stage_spec(
                deployed,
                noun,
                source_sha256=source_sha256,
                upstream=upstream_specs(planned, noun, index),
                faces_enabled=faces_enabled,
                revision=revision,
                target=target,
                salt=salts.get(noun, ""),
            )
            for index, target in enumerate(generations)
        )
        planned[noun] = each[:1] if len(set(each)) == 1 else each
    return planned


def build_plan(
    deployed: Pipeline,
    *,
    tenant_id: str,
    video_id: str,
    revision: int,
    source: manifest_pb2.Source,
    faces_enabled: bool,
    generations: Sequence[TargetGeneration],
    create_time: Timestamp,
    salts: Mapping[str, str] = _NONE,
) -> manifest_pb2.Plan:
    """Return the plan of a new revision; the same arguments give the same bytes."""
    planned = specs(
        deployed,
        source_sha256=source.sha256,
        faces_enabled=faces_enabled,
        revision=revision,
        generations=generations,
        salts=salts,
    )
    return manifest_pb2.Plan(
        tenant_id=tenant_id,
        video_id=video_id,
        revision=revision,
        source=source,
        stages=[
            manifest_pb2.PlannedStage(stage=flow.STAGES[noun].number, specs=planned[noun], salt=salts.get(noun, ""))
            for noun in planned
        ],
        generations=[target.generation for target in generations],
        faces_enabled=faces_enabled,
        max_duration_s=deployed.max_duration_s,
        create_time=create_time,
    )


def planned_specs(plan: manifest_pb2.Plan) -> dict[str, tuple[str, ...]]:
    """Return noun -> specs of a plan. Raises BadArtifact (permanent) when a stage is missing or has none."""
    planned = {flow.STAGE_BY_NUMBER[int(s.stage)].noun: tuple(s.specs) for s in plan.stages if s.stage}
    for noun in flow.STAGES:
        if not planned.get(noun):
            raise BadArtifact(f"plan of {plan.video_id} revision {plan.revision} has no spec for {noun}")
    return planned


def salts_of(plan: manifest_pb2.Plan) -> dict[str, str]:
    """Return noun -> salt of the stages that a plan has run again."""
    return {flow.STAGE_BY_NUMBER[int(s.stage)].noun: s.salt for s in plan.stages if s.salt}


def spec_of(planned: Mapping[str, Sequence[str]], noun: str, index: int) -> str:
    """Return a stage's spec for the generation at ``index``: stages with one spec have it for all."""
    choices = planned[noun]
    return choices[index if len(choices) > 1 else 0]


def upstream_specs(planned: Mapping[str, Sequence[str]], noun: str, index: int) -> tuple[str, ...]:
    """Return the specs that ``noun`` rests on for the generation at ``index``, in the order of the flow table."""
    return tuple(spec_of(planned, stage.noun, index) for stage in flow.upstream(noun))


def serves(deployed: Pipeline, plan: manifest_pb2.Plan, noun: str, index: int) -> bool:
    """Return whether this deployment's ``noun`` does exactly the work that the plan pins at ``index``.

    Models of a generation that is being built are known to its own workers only: they have them in ``deployed``.
    """
    planned = planned_specs(plan)
    mine = stage_spec(
        deployed,
        noun,
        source_sha256=plan.source.sha256,
        upstream=upstream_specs(planned, noun, index),
        faces_enabled=plan.faces_enabled,
        revision=plan.revision,
        target=TargetGeneration(plan.generations[index] if index < len(plan.generations) else 0),
        salt=salts_of(plan).get(noun, ""),
    )
    return mine == spec_of(planned, noun, index)
