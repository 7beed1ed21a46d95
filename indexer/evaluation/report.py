"""Report: figures of every query -> means by channel and category; two reports -> what changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from indexer.evaluation.lists import FUSED, NAMES
from indexer.evaluation.metrics import MEASURES, interval

MAIN = MEASURES[0]
ALL = "all"


@dataclass(frozen=True, slots=True)
class Judged:
    """What one query brought.

    Attributes:
        channels: name of a list -> measure -> figure; empty when no scene answers the query.
        none: whether the product says that nothing matches.
        refused: whether it finds nothing in the query to look for.
    """

    query_id: str
    category: str
    channels: Mapping[str, Mapping[str, float]]
    none: bool
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A mean of two runs over the queries of both; ``low`` to ``high``: the 95 % interval of the difference."""

    channel: str
    category: str
    queries: int
    before: float
    after: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0.0 or self.high < 0.0


def report(about: Mapping[str, Any], judged: Sequence[Judged]) -> dict[str, Any]:
    """Return the report, ready for JSON.

    ``channels`` and ``categories`` are over the queries that a scene answers; ``nothing_matches`` says how often the
    product finds nothing where there is nothing (``none_rate``), and where there is something (``lost_rate``).

    Args:
        about: what was evaluated; put first.
    """
    answerable = [one for one in judged if one.channels]
    empty = [one for one in judged if not one.channels]
    categories = dict.fromkeys(one.category for one in answerable if one.category)
    return {
        **about,
        "channels": _means(answerable),
        "categories": {category: _category(answerable, category) for category in categories},
        "nothing_matches": {
            "unanswerable": len(empty),
            "none_rate": _share(empty),
            "answerable": len(answerable),
            "lost_rate": _share(answerable),
        },
        "refused": sum(one.refused for one in judged),
        "queries": {
            one.query_id: {
                "category": one.category,
                "none": one.none,
                **({"refused": True} if one.refused else {}),
                **({MAIN: {name: round(one.channels[name][MAIN], 4) for name in NAMES}} if one.channels else {}),
            }
            for one in judged
        },
    }


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what changed in ``MAIN``: each channel over all, then the fused list by category.

    Raises: ValueError (permanent) when the two are no reports or have no query in common.
    """
    try:
        old, new = (
            {query: found for query, found in run["queries"].items() if MAIN in found} for run in (before, after)
        )
        common = [query for query in new if query in old]
        if not common:
            raise ValueError("the two runs have no query in common")
        changes = [_change(name, ALL, common, old, new) for name in NAMES]
        for category in dict.fromkeys(new[query]["category"] for query in common if new[query]["category"]):
            of_it = [query for query in common if new[query]["category"] == category]
            changes.append(_change(FUSED, category, of_it, old, new))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no report of `heimdex eval --json`: {error!r}") from error
    return tuple(changes)


def _change(
    channel: str, category: str, queries: Sequence[str], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Change:
    before = [float(old[query][MAIN][channel]) for query in queries]
    after = [float(new[query][MAIN][channel]) for query in queries]
    low, high = interval([new_ - old_ for old_, new_ in zip(before, after, strict=True)])
    return Change(channel, category, len(queries), _mean(before), _mean(after), low, high)


def _category(answerable: Sequence[Judged], category: str) -> dict[str, Any]:
    of_it = [one for one in answerable if one.category == category]
    return {"queries": len(of_it), "lost_rate": _share(of_it), "channels": _means(of_it)}


def _means(judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    if not judged:
        return {}
    means: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        figures = {measure: [one.channels[name][measure] for one in judged] for measure in MEASURES}
        means[name] = {measure: round(_mean(values), 4) for measure, values in figures.items()}
        means[name][f"{MAIN}_interval"] = [round(edge, 4) for edge in interval(figures[MAIN])]
    return means


def _share(judged: Sequence[Judged]) -> float | None:
    return round(sum(one.none for one in judged) / len(judged), 4) if judged else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
