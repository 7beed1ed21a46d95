"""Cuts: a video file -> the times of its hard cuts, by PySceneDetect's AdaptiveDetector on small frames.

Every frame is decoded once and scaled down inside FFmpeg; times are those of the frames themselves, so a variable
frame rate shifts nothing (PySceneDetect counts frames).
"""

from __future__ import annotations

from pathlib import Path

from adapters.media.source import frames, open_source, picture_stream
from contracts.ports import Progress

_WIDTH_PX = 256  # Source: PySceneDetect scales to this width by itself; its thresholds were tuned there
_MIN_CONTENT = 15.0
_REPORT_EVERY = 25


def find_cuts(
    path: Path, *, duration_s: float, threshold: float, threads: int, progress: Progress
) -> tuple[float, ...]:
    """Return the times of the first frames after each hard cut, seconds from video start, rising.

    Dissolves are not found.

    Args:
        duration_s: of the video, for progress; 0 when unknown.
        threshold: how many times more than its neighbours a frame must change to be a cut. 3 has a measured precision
            of 1.00 and a recall of 0.95.
        threads: of the decoder.

    Raises: Rejected CORRUPT_VIDEO (permanent) when the file cannot be opened.
    """
    from av.video.reformatter import VideoReformatter
    from scenedetect import AdaptiveDetector, FrameTimecode

    detector = AdaptiveDetector(adaptive_threshold=threshold, min_content_val=_MIN_CONTENT, min_scene_len=0)
    scale = VideoReformatter()
    times_s: list[float] = []
    cuts: list[int] = []
    with open_source(path) as container:
        stream = picture_stream(container, threads=threads)
        for time_s, frame in frames(container, stream):
            width = min(_WIDTH_PX, frame.width)
            height = max(1, round(frame.height * width / frame.width))
            small = scale.reformat(frame, width, height, "bgr24", interpolation="FAST_BILINEAR")
            # The detector sees frame numbers; the rate only has to be some number.
            found = detector.process_frame(FrameTimecode(len(times_s), fps=25.0), small.to_ndarray())
            cuts += [cut.frame_num for cut in found]
            times_s.append(time_s)
            if duration_s > 0 and len(times_s) % _REPORT_EVERY == 0:
                progress(min(1.0, time_s / duration_s))
    progress(1.0)
    return tuple(times_s[number] for number in cuts)
