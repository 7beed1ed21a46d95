"""Frames: a ranked list -> the hits that may be shown now, with their transcripts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from contracts.catalog import Catalog, SceneRow
from indexer.search.transcripts import Told, joined, runs, told
from indexer.search.types import Hit, Ranked

Marks = Mapping[str, Sequence[tuple[int, int]]]
"""Text -> the ranges of it that the query matches; nothing for no marking."""

SPARE_ROWS = 10
"""Read beyond a page: some are of revisions that are gone."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A page: scenes with their places, the list after it, and how many rows of it turned out to be gone."""

    scenes: tuple[tuple[Ranked, SceneRow], ...]
    rest: tuple[Ranked, ...]
    gone: int


NOTHING = Shown((), (), 0)


async def show(
    catalog: Catalog, tenant_id: str, ranked: Sequence[Ranked], limit: int, known: dict[str, SceneRow | None]
) -> Shown:
    """Return the first ``limit`` rows that SQL says may be shown: its tenant, the searchable revision, not deleted.

    They come in the order of the list; ties of a video by start.

    Args:
        known: what SQL said before, in this search; added to.
    """
    scenes: list[tuple[Ranked, SceneRow]] = []
    at = 0
    while len(scenes) < limit and at < len(ranked):
        await read(catalog, tenant_id, ranked[at : at + limit - len(scenes) + SPARE_ROWS], known)
        while len(scenes) < limit and at < len(ranked) and ranked[at].row_id in known:
            scene = known[ranked[at].row_id]
            if scene is not None:
                scenes.append((ranked[at], scene))
            at += 1
    gone = sum(1 for row in ranked if row.row_id in known and known[row.row_id] is None)
    rest = tuple(row for row in ranked[at:] if known.get(row.row_id, row) is not None)
    return Shown(tuple(_ties_by_start(scenes)), rest, gone)


def _ties_by_start(scenes: Sequence[tuple[Ranked, SceneRow]]) -> Iterator[tuple[Ranked, SceneRow]]:
    """Yield scenes in their order, but neighbours of one video and score by start, which the channels do not tell."""
    for _, tied in groupby(scenes, key=lambda pair: (pair[0].score, pair[1].video_id)):
        yield from sorted(tied, key=lambda pair: pair[1].start_ms)


async def read(catalog: Catalog, tenant_id: str, ranked: Sequence[Ranked], known: dict[str, SceneRow | None]) -> None:
    """Ask SQL for what ``known`` lacks of these rows, in one read."""
    unknown = [row.row_id for row in ranked if row.row_id not in known]
    if unknown:
        found = await catalog.hydrate(tenant_id, unknown)
        known.update({row: found.get(row) for row in unknown})


def told_in(shown: Shown) -> tuple[Told, ...]:
    """Return what each scene tells."""
    return tuple(told(scene.body) for _, scene in shown.scenes)


def texts_of(scenes: Sequence[Told]) -> list[str]:
    """Return all that may be marked, each once: the transcripts of the scenes, and the names of their tags."""
    names = (name for scene in scenes for names in scene.tags for name in names)
    return list(dict.fromkeys((*(joined(scene.lines) for scene in scenes), *names)))


def hits_of(shown: Shown, scenes: Sequence[Told], marks: Marks, first_rank: int = 1) -> tuple[Hit, ...]:
    """Return the hits.

    Args:
        scenes: ``told_in(shown)``.
        marks: of ``texts_of(scenes)``.
    """
    return tuple(
        Hit(
            first_rank + place,
            scene,
            row,
            runs(tells.lines, marks.get(joined(tells.lines), ())),
            tuple(tag for tag, names in enumerate(tells.tags) if any(map(marks.get, names))),
        )
        for place, ((row, scene), tells) in enumerate(zip(shown.scenes, scenes, strict=True))
    )
