"""One home for the whole run: its servers alone for integration tests, the whole stack for end-to-end tests."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from adapters import logs
from deploy.local.environment import environment
from deploy.local.home import Home
from deploy.local.provision import cache_folder
from deploy.local.stack import Options, down, up
from tests.distributions import install_sdk
from tests.stack import Servers, Stack

QUICK = {
    # Erasure waits out leases and late writers; tests have none of the slow ones.
    "HEIMDEX_ERASURE_WAIT_S": "2",
    "HEIMDEX_COMMIT_GRACE_S": "1",
    "HEIMDEX_GENERATION_GRACE_S": "1",
}

# A run in the background has SIGINT ignored, and would hand that down to every process that a test means to stop by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("heimdex", deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("heimdex")


@pytest.fixture(autouse=True)
def shared_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no process whose ``main`` a test calls set up logging: it would for every test after it."""
    monkeypatch.setattr(logs, "configure", lambda: None)


@pytest.fixture(autouse=True, scope="module")
def spared_collector() -> None:
    """Leave what modules before have made out of garbage collection.

    It grows to millions of objects: whoever collects, as a model does that goes when idle, would wait for seconds.
    """
    gc.collect()
    gc.freeze()


def _say(line: str) -> None:
    print(f"    {line}", file=sys.__stderr__)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of this run's own; whatever was started in it is stopped at the end."""
    made = Home(tmp_path_factory.mktemp("stack") / "home")
    yield made
    if made.config_file.exists():
        down(made, _say)


@pytest.fixture(scope="session")
def servers(home: Home) -> Servers:
    """Kafka, OpenSearch, S3 and Milvus, ready."""
    config = up(home, Options(servers_only=True, settings=QUICK), _say)
    settings = environment(home, config, cache_folder() / "models")
    return Servers(
        kafka=settings["HEIMDEX_KAFKA"],
        opensearch=settings["HEIMDEX_OPENSEARCH"],
        s3_endpoint=settings["HEIMDEX_S3_ENDPOINT"],
        s3_access_key=settings["HEIMDEX_S3_ACCESS_KEY"],
        s3_secret_key=settings["HEIMDEX_S3_SECRET_KEY"],
        milvus_text=settings["HEIMDEX_MILVUS_TEXT"],
        milvus_vision=settings["HEIMDEX_MILVUS_VISION"],
    )


@pytest.fixture(scope="session")
def stack(home: Home, servers: Servers) -> Stack:  # the servers of the same home come first
    """The whole of Heimdex on the small profile, ready."""
    config = up(home, Options(settings=QUICK), _say)
    return Stack(home, f"127.0.0.1:{config.ports['gateway']}")


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder of real Korean speech, where it is at hand."""
    folder = Path(os.environ.get("HEIMDEX_MEDIA") or Path(__file__).resolve().parents[2] / "shared" / "media")
    if not folder.is_dir():
        pytest.skip(f"no Korean recordings at {folder} (HEIMDEX_MEDIA names another folder)")
    return folder


@pytest.fixture(scope="session")
def sdk_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment in which there is nothing of Heimdex but its SDK."""
    return install_sdk(tmp_path_factory.mktemp("sdk"))
