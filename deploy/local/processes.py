"""Processes: a home -> the one table of everything that runs in it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.environment import environment, of_process
from deploy.local.home import Config, Home, require_config
from deploy.local.probes import HttpProbe
from deploy.local.process import Process
from deploy.local.provision import ServerTrees, cache_folder, trees
from deploy.local.servers import servers

_MB: Final = 1024 * 1024


@dataclass(frozen=True)
class _App:
    """One of Heimdex's own processes: `python -m {arguments}`."""

    name: str
    arguments: str
    stop_rank: int
    memory_bound_bytes: int
    after: tuple[str, ...] = ()


# The gateway waits for no store: it comes up and answers what it can while one of them is away.
_STAGES_NEED: Final = ("kafka", "objects")
_APPS: Final = (
    _App("inference", "adapters.inference", 1, 2000 * _MB),
    _App("gateway", "gateway", 0, 1500 * _MB),
    _App("light", "processors validate audio scenes align frames sidecar", 1, 1500 * _MB, _STAGES_NEED),
    _App("asr", "processors asr", 1, 1500 * _MB, _STAGES_NEED),
    _App("embeddings", "processors embeddings", 1, 1500 * _MB, _STAGES_NEED),
    _App("vision", "processors vision", 1, 1500 * _MB, _STAGES_NEED),
    _App("affect", "processors affect", 1, 1500 * _MB, _STAGES_NEED),
    _App("faces", "processors faces", 1, 1500 * _MB, _STAGES_NEED),
    _App("commit", "indexer.commit", 2, 1500 * _MB, (*_STAGES_NEED, "opensearch", "milvus-text", "milvus-vision")),
    _App("control", "control relay tracker people eraser retry reconciler builder", 3, 1500 * _MB, _STAGES_NEED),
)

MIGRATE: Final = ("adapters.catalog.migrate",)
SCHEMA: Final = ("indexer.schema",)
MODELS: Final = "adapters.models.assets"  # and the folder they go into
PREPARE: Final = ("control", "topics")
PREPARE_NEEDS: Final = ("kafka", "objects")


def table(home: Home, config: Config | None = None, places: ServerTrees | None = None) -> tuple[Process, ...]:
    """Return every long-running process of the home: the backing servers, then Heimdex's own."""
    config = config or require_config(home)
    places = places or trees(cache_folder())
    return (*servers(home, config, places), *_apps(home, config, places.models))


def module_command(*arguments: str) -> tuple[str, ...]:
    """Return the command that runs one of Heimdex's own modules."""
    return (sys.executable, "-m", *arguments)


def _apps(home: Home, config: Config, models: Path) -> tuple[Process, ...]:
    shared = environment(home, config, models)
    return tuple(
        Process(
            name=app.name,
            command=module_command(*app.arguments.split()),
            environment=shared | of_process(app.name, config),
            ready=HttpProbe(config.ports[f"{app.name}-ops"], "/ready"),
            live=HttpProbe(config.ports[f"{app.name}-ops"], "/live"),
            ports={name: config.ports[name] for name in (app.name, f"{app.name}-ops") if name in config.ports},
            stop_rank=app.stop_rank,
            memory_bound_bytes=app.memory_bound_bytes,
            after=app.after,
            stop_wait_s=30,
        )
        for app in _APPS
    )
