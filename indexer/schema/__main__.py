"""The schema step: the deployed models -> the generation that queries read. ``python -m indexer.schema``.

A catalogue that was filled by other encoders is refused: their vectors and these do not compare. So is one whose text
index was made by other analysers: its rows lack what this version writes and asks for.
"""

from __future__ import annotations

import asyncio
import sys

from adapters.catalog.sql import SqlCatalog
from adapters.models import profiles
from adapters.settings import CatalogSettings, PipelineSettings
from contracts.errors import HeimdexError, PreconditionFailed
from indexer.schema.schema import first_generation, text_index


class Settings(CatalogSettings, PipelineSettings):
    """What the step reads from its environment, all with the prefix HEIMDEX_."""


async def ensure(settings: Settings) -> str:
    """Make the first generation where there is none, and return which one is active.

    Raises:
        PreconditionFailed: the active one was made by other encoders or analysers. Permanent.
        DependencyUnavailable: the catalogue does not answer. Transient.
    """
    versions = profiles.versions(settings.profile, settings.models())
    text, vision = versions["embeddings"], versions["vision"]
    catalog = SqlCatalog(settings.catalog)
    try:
        active = await catalog.ensure_generation(first_generation(text, vision))
    finally:
        await catalog.close()
    if (active.text_model, active.vision_model) != (text, vision):
        raise PreconditionFailed(
            f"this library was indexed by {active.text_model} and {active.vision_model}, and this version brings "
            f"{text} and {vision}: go on with the version or --profile that made it, or begin a new home (--home)"
        )
    if active.text_index != text_index(active.generation):
        raise PreconditionFailed(
            f"the words of this library are in {active.text_index}, and this version writes "
            f"{text_index(active.generation)}: go on with the version that made it, or begin a new home (--home)"
        )
    return f"generation {active.generation}: {text}, {vision}"


def main() -> int:
    """Return the exit code: 1, and one line, when it cannot be."""
    try:
        said = asyncio.run(ensure(Settings()))  # type: ignore[call-arg]  # the environment gives them
    except HeimdexError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
