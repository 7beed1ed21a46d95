"""Filters: a question and its filter -> where the stores look, and which rows that they found must be left out."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from contracts.catalog import Catalog
from contracts.ports import TextIndex
from indexer.search.channels import Answers, Question
from indexer.search.fuse import Condition, candidates
from indexer.search.timing import stop
from indexer.search.types import Filter

MAX_VIDEOS = 1000
"""Videos that the stores are told one by one. A filter that more of them match narrows little: then each row's video is
looked up once it is found. Source: a list of 1,000 ids is 32 kB in each request to Milvus, which parses it anew.
"""


def of_videos(narrow: Filter) -> bool:
    """Return whether a filter says something of videos that SQL alone knows."""
    return bool(narrow.languages) or narrow.uploaded_from_ms is not None or narrow.uploaded_to_ms is not None


class Filters:
    """What a filter needs beyond the stores' own filters. A search that asks for nothing of the kind costs nothing.

    Errors: those of the catalogue and of the text index.
    """

    def __init__(self, catalog: Catalog, text: TextIndex) -> None:
        self._catalog = catalog
        self._text = text

    async def placed(self, question: Question, narrow: Filter) -> Question:
        """Return the question with the videos that a filter ``of_videos`` means; ``nowhere`` when there are none."""
        found = await self._videos(question.tenant_id, narrow, narrow.video_ids, MAX_VIDEOS + 1)
        if not found:
            return replace(question, nowhere=True, condition=Condition())
        if len(found) > MAX_VIDEOS:
            return replace(question, checks=replace(question.checks, videos=narrow))
        return replace(question, scope=replace(question.scope, video_ids=tuple(sorted(found))))

    async def checked(self, question: Question, answers: Answers, known: dict[str, bool]) -> Question:
        """Return the question with the rows of the answers that must be left out.

        Args:
            known: row id -> whether it must be left out; what was found before in this search, added to.
        """
        if not question.checks.any():
            return question
        rows = candidates(answers, question.condition)
        unknown = sorted(rows - known.keys())
        if unknown:
            out = await self._out(question, unknown, answers)
            known.update({row: row in out for row in unknown})
        excluded = frozenset(row for row in rows if known[row])
        return replace(question, condition=replace(question.condition, excluded=excluded))

    async def _out(self, question: Question, rows: list[str], answers: Answers) -> frozenset[str]:
        tenant, checks = question.tenant_id, question.checks
        works: list[Coroutine[Any, Any, frozenset[str]]] = []
        if checks.words:
            works.append(self._text.holding(question.generation.text_index, tenant, rows, checks.words))
        if checks.people:
            works.append(self._catalog.rows_with_people(tenant, checks.people, rows))
        if checks.videos is not None:
            videos = {row: video for answer in answers.values() for row, video in answer.videos.items()}
            works.append(self._elsewhere(tenant, checks.videos, {row: videos[row] for row in rows}))
        tasks = tuple(asyncio.ensure_future(work) for work in works)
        try:
            return frozenset[str]().union(*await asyncio.gather(*tasks))
        finally:
            await stop(tasks)

    async def _elsewhere(self, tenant_id: str, narrow: Filter, videos: Mapping[str, str]) -> frozenset[str]:
        """Return the rows whose videos the filter does not mean."""
        asked = frozenset(videos.values())
        meant = await self._videos(tenant_id, narrow, asked, len(asked))
        return frozenset(row for row, video in videos.items() if video not in meant)

    async def _videos(self, tenant_id: str, narrow: Filter, video_ids: Collection[str], limit: int) -> frozenset[str]:
        return frozenset(
            await self._catalog.videos_matching(
                tenant_id,
                video_ids=sorted(video_ids),
                languages=narrow.languages,
                uploaded_from_ms=narrow.uploaded_from_ms,
                uploaded_to_ms=narrow.uploaded_to_ms,
                limit=limit,
            )
        )
