"""Environment: a home and its config -> the `HEIMDEX_*` variables of every process; the one place that makes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.local.home import Config, Home
from deploy.local.keys import AUDIENCE, ISSUER
from deploy.local.ports import LOOPBACK

S3_REGION: Final = "us-east-1"
S3_BUCKET: Final = "heimdex"
S3_LEASE_BUCKET: Final = "heimdex-leases"
TOPIC_PARTITIONS: Final = 4
YUNET_FILE: Final = "face_detection_yunet_2023mar.onnx"

ONE_THREAD: Final = {
    # Spinning OpenMP threads on a crowded machine cost 2-6 times the work.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    # Fewer malloc arenas: threads that come and go would otherwise each keep their own.
    "MALLOC_ARENA_MAX": "2",
}

QUIET: Final = {
    # `up` shows the last line of what did not start: it should say what is wrong with a setting, not where to read on.
    "PYDANTIC_ERRORS_INCLUDE_URL": "0",
}


def environment(home: Home, config: Config, models: Path) -> dict[str, str]:
    """Return what all of Heimdex's own processes of this home share.

    HEIMDEX_HOME             the stack's folder
    HEIMDEX_PROFILE          fake | small | production
    HEIMDEX_KAFKA            host:port
    HEIMDEX_TOPIC_PREFIX     put before every topic's name; empty but in tests
    HEIMDEX_TOPIC_PARTITIONS partitions of every topic
    HEIMDEX_S3_*             endpoint for the processes, public endpoint for clients, region, keys, the two buckets
    HEIMDEX_OPENSEARCH       URL
    HEIMDEX_MILVUS_TEXT      URI of the text vectors
    HEIMDEX_MILVUS_VISION    URI of the vision vectors; may be the same
    HEIMDEX_CATALOG          SQLAlchemy URL
    HEIMDEX_MODELS_DIR       folder of assembled model files
    HEIMDEX_CACHE_DIR        host-local, bounded cache of source videos
    HEIMDEX_WORK_DIR         files of stages while they run
    HEIMDEX_INFERENCE        host:port (gRPC)
    HEIMDEX_GATEWAY_LISTEN   host:port (gRPC)
    HEIMDEX_JWKS_FILE        public keys that tokens are verified with
    HEIMDEX_TOKEN_ISSUER, HEIMDEX_TOKEN_AUDIENCE   what tokens must say
    HEIMDEX_PAGE_TOKEN_KEY   signs page tokens and keys hashes of queries (hex)
    HEIMDEX_FACES_MODEL      YuNet's file, only where it is present
    """
    ports = config.ports
    objects = f"http://{LOOPBACK}:{ports['objects']}"
    values = (
        ONE_THREAD
        | QUIET
        | {
            "HEIMDEX_HOME": str(home.root),
            "HEIMDEX_PROFILE": config.profile,
            "HEIMDEX_KAFKA": f"{LOOPBACK}:{ports['kafka']}",
            "HEIMDEX_TOPIC_PREFIX": "",
            "HEIMDEX_TOPIC_PARTITIONS": str(TOPIC_PARTITIONS),
            "HEIMDEX_S3_ENDPOINT": objects,
            "HEIMDEX_S3_PUBLIC_ENDPOINT": objects,
            "HEIMDEX_S3_REGION": S3_REGION,
            "HEIMDEX_S3_ACCESS_KEY": config.s3_access_key,
            "HEIMDEX_S3_SECRET_KEY": config.s3_secret_key,
            "HEIMDEX_S3_BUCKET": S3_BUCKET,
            "HEIMDEX_S3_LEASE_BUCKET": S3_LEASE_BUCKET,
            "HEIMDEX_OPENSEARCH": f"http://{LOOPBACK}:{ports['opensearch']}",
            "HEIMDEX_MILVUS_TEXT": f"http://{LOOPBACK}:{ports['milvus-text']}",
            "HEIMDEX_MILVUS_VISION": f"http://{LOOPBACK}:{ports['milvus-vision']}",
            "HEIMDEX_CATALOG": config.catalog or f"sqlite+aiosqlite:///{home.data / 'catalog.db'}",
            "HEIMDEX_MODELS_DIR": str(models),
            "HEIMDEX_CACHE_DIR": str(home.data / "source-cache"),
            "HEIMDEX_WORK_DIR": str(home.data / "work"),
            "HEIMDEX_INFERENCE": f"{LOOPBACK}:{ports['inference']}",
            "HEIMDEX_GATEWAY_LISTEN": f"{LOOPBACK}:{ports['gateway']}",
            "HEIMDEX_JWKS_FILE": str(home.keys / "jwks.json"),
            "HEIMDEX_TOKEN_ISSUER": ISSUER,
            "HEIMDEX_TOKEN_AUDIENCE": AUDIENCE,
            "HEIMDEX_PAGE_TOKEN_KEY": config.page_token_key,
        }
    )
    if (models / YUNET_FILE).exists():
        values["HEIMDEX_FACES_MODEL"] = str(models / YUNET_FILE)
    return values | dict(config.settings)


def of_process(name: str, config: Config) -> dict[str, str]:
    """Return what one of Heimdex's own processes gets besides.

    HEIMDEX_OPS_PORT   its port for /live, /ready and /metrics
    HEIMDEX_INSTANCE   its stable slot, for static group membership and leases
    HEIMDEX_THREADS    threads of one model call; 1 where it is not set
    """
    values = {"HEIMDEX_OPS_PORT": str(config.ports[f"{name}-ops"]), "HEIMDEX_INSTANCE": f"{name}-0"}
    if name == "asr":
        values["HEIMDEX_THREADS"] = config.settings.get("HEIMDEX_THREADS", "2")
    return values


def inherited(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the caller's environment without `HEIMDEX_*`: only the home configures a stack."""
    return {name: value for name, value in environ.items() if not name.startswith("HEIMDEX_")}
