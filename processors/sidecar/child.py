"""Child of ``sidecar``: everything known of each scene is joined -> ``Sidecar``."""

from __future__ import annotations

from contracts.ports import Progress
from contracts.work import Job, Result
from processors.affect import artifact as affect
from processors.align import artifact as align
from processors.embeddings import artifact as embeddings
from processors.faces import artifact as faces
from processors.frames import artifact as frames
from processors.scenes import artifact as scenes
from processors.sidecar import artifact
from processors.sidecar.stage import Findings, Keyframe, join
from processors.sidecar.worker import KEY
from processors.vision import artifact as vision


def perform(job: Job, progress: Progress) -> Result:
    """Do the work of one run. Raises: BadArtifact (permanent)."""
    there = job.artifacts
    aligned = align.decode(there["align"])
    text = embeddings.decode(there["embeddings"]) if "embeddings" in there else None
    seen = vision.decode(there["vision"]) if "vision" in there else None
    records = join(
        job.settings["video_id"],
        scenes.decode(there["scenes"]),
        Findings(
            lines=aligned.scenes,
            vectors=text.vectors if text else (),
            keyframes=_keyframes(job),
            sights=seen.sights if seen else (),
            affects=affect.decode(there["affect"]).scenes if "affect" in there else (),
            face_frames=faces.decode(there["faces"]).faces.face_frames if "faces" in there else {},
        ),
    )
    progress(1.0)
    return Result(
        artifact=artifact.encode(
            job.settings["video_id"],
            records,
            language=aligned.language,
            text_model_version=text.model_version if text else "",
            vision_model_version=seen.model_version if seen else "",
            degraded=job.settings["degraded_stages"].split(),
        ),
        counts={"scenes": len(records)},
        labels={"language": aligned.language} if aligned.language else {},
    )


def _keyframes(job: Job) -> dict[int, Keyframe]:
    if "frames" not in job.artifacts:
        return {}
    return {
        frame.scene_index: Keyframe(job.settings[KEY + frame.blob], frame.at_ms, frame.width_px, frame.height_px)
        for frame in frames.decode(job.artifacts["frames"])
        if frame.keyframe
    }
