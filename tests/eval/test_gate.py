"""The gate: on the project's own scenes the joined list beats every channel, on real stores with real models."""

from __future__ import annotations

import asyncio
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest

from adapters.models.assets import assemble
from adapters.models.settings import ModelSettings
from adapters.text.opensearch import OpenSearchText
from deploy.evaluation.library import library
from deploy.evaluation.run import Place, fit, run
from deploy.local.provision import cache_folder
from indexer.evaluation.fit_confidence import MAY_LOSE, MUST_REFUSE
from indexer.evaluation.folder import Collection, Query, Scene, read
from indexer.evaluation.lists import CHANNELS, FUSED, NAMES, RRF
from indexer.evaluation.report import report
from indexer.search.ranking import FIRST, load
from indexer.search.types import Channel
from tests.stack import Servers

pytestmark = pytest.mark.integration

SCENES = Path(__file__).parent / "scenes"
MAY_LACK = 0.02  # of the best channel of a category


@pytest.fixture(scope="module")
def place(servers: Servers) -> Place:
    """The run's servers, read with the small profile."""
    models = cache_folder() / "models"
    assemble(models)
    return Place(servers.opensearch, servers.milvus_text, servers.milvus_vision, "small", ModelSettings(models))


@pytest.fixture(scope="module")
def found(place: Place) -> dict[str, Any]:
    """The report on the project's own scenes."""
    return report({}, asyncio.run(run(read(SCENES), place, lambda _: None)))


def test_together_is_better_than_any_channel(found: dict[str, Any]) -> None:
    ndcg = {name: found["channels"][name]["ndcg@10"] for name in NAMES}
    assert ndcg[FUSED] > max(ndcg[name] for name in NAMES if name != FUSED), ndcg
    assert found["channels"][FUSED]["recall@100"] > found["channels"]["dense"]["recall@100"]


def test_in_no_category_is_a_channel_alone_much_better(found: dict[str, Any]) -> None:
    for category, of_it in found["categories"].items():
        best = max(of_it["channels"][name]["ndcg@10"] for name in (*CHANNELS, RRF))
        assert of_it["channels"][FUSED]["ndcg@10"] >= best - MAY_LACK, (category, of_it["channels"])


def test_what_has_no_answer_finds_nothing_and_little_else_does(found: dict[str, Any]) -> None:
    nothing = found["nothing_matches"]
    assert nothing["lost_rate"] <= MAY_LOSE, nothing
    assert nothing["none_rate"] >= MUST_REFUSE, nothing


def test_the_rankings_scales_are_what_the_scenes_say(place: Place) -> None:
    fitted, ranking = asyncio.run(fit(read(SCENES), place, lambda _: None)), load(FIRST)
    assert fitted.confidence is not None
    assert fitted.confidence.lost <= MAY_LOSE
    assert fitted.confidence.none >= MUST_REFUSE
    assert fitted.confidence.scale.none_below == pytest.approx(ranking.confidence.none_below, abs=0.03)
    for channel, own in ((Channel.DENSE, ranking.likeness.dense), (Channel.VISION, ranking.likeness.vision)):
        found = fitted.likeness[channel]
        assert found is not None
        assert astuple(found.ramp) == pytest.approx(astuple(own), abs=0.01)


@pytest.mark.parametrize("known_of_it", [{"labels": {"tabby_cat": 0.5, "unicorn": 0.4}}, {"affect": ("unicorn",)}])
def test_what_no_model_knows_says_nothing(place: Place, known_of_it: dict[str, Any]) -> None:
    scenes = (Scene("d1", "말", **known_of_it), Scene("d2", "말", labels={"unicorn": 0.4}, affect=("unicorn",)))
    made = asyncio.run(library(Collection("own", scenes, (), {}), place.profile, place.models))
    assert not any("unicorn" in row.tags for row in made.text)
    assert not made.text[1].tags
    assert {row.row_id for row in made.vision_vectors} <= {made.text[0].row_id}


def test_a_plain_beir_folder_is_read_and_nothing_of_it_stays(place: Place) -> None:
    scenes = tuple(
        Scene(f"d{n}", text) for n, text in enumerate(["우주선이 달에 내렸다.", "김치찌개를 끓인다.", "비가 온다.", ""])
    )
    queries = (
        Query("q1", "김치찌개", ""),
        Query("q2", "달에 착륙한 우주선", ""),
        Query("q3", "\x00 ?", ""),
        Query("q4", '"김치 만두"와 @찌개를 -끓이는 법', ""),  # signs of our grammar, which nobody meant
        Query("q5", f"김치찌개 {'를 ' * 600}", ""),
    )
    judgements = {"q1": {"d1": 1}, "q2": {"d0": 1}, "q3": {"d2": 1}, "q4": {"d1": 1}, "q5": {"d1": 1}}
    said: list[str] = []
    judged = asyncio.run(run(Collection("plain", scenes, queries, judgements, strays=2), place, said.append))
    assert [one.channels[FUSED]["ndcg@10"] for one in judged] == [1.0, 1.0, 0.0, 1.0, 1.0]
    assert [one.refused for one in judged] == [False, False, True, False, False]
    assert judged[2].none
    assert any(line.startswith("2 judgements") for line in said)
    assert any(line.startswith("1 queries") and line.endswith(": q3") for line in said)
    assert not asyncio.run(_indices(place))


def test_nothing_stays_of_a_run_that_is_stopped(place: Place) -> None:
    collection = Collection("plain", (Scene("d1", "김치찌개"),), (Query("q1", "김치", ""),), {"q1": {"d1": 1}})

    async def stopped() -> None:
        running = asyncio.current_task()
        assert running is not None

        def stop(line: str) -> None:
            if line == "asking":
                running.cancel()

        await run(collection, place, stop)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(stopped())
    assert not asyncio.run(_indices(place))


async def _indices(place: Place) -> list[str]:
    async with OpenSearchText(place.opensearch) as text:
        names = await text._call(lambda client: client.cat.indices(format="json"))
    return [row["index"] for row in names if row["index"].startswith("heimdex-eval")]
