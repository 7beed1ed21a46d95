"""Configuration: arguments > environment > what ``heimdex up`` wrote into its home -> where to call, and as whom."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

_BROKEN = "{} is not what `heimdex up` wrote: run it again, or set HEIMDEX_ENDPOINT and HEIMDEX_TOKEN"


class NotConfigured(Exception):
    """Nothing says where Heimdex runs; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Config:
    """Where to call, and as whom.

    Attributes:
        endpoint: ``host:port``.
        token: bearer JWT.
        insecure: plain text instead of TLS.
    """

    endpoint: str
    token: str
    insecure: bool = False


def default_home() -> Path:
    """Return ``$HEIMDEX_HOME``, else the user's data folder for Heimdex."""
    if home := os.environ.get("HEIMDEX_HOME"):
        return Path(home).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "heimdex"


def load(
    *, endpoint: str | None = None, token: str | None = None, home: str | os.PathLike[str] | None = None
) -> Config:
    """Return the configuration. Raises NotConfigured when there is none, or none that can be read.

    The token of a home is for the endpoint of that home, and is sent to no other.

    Environment: ``HEIMDEX_ENDPOINT``, ``HEIMDEX_TOKEN``, ``HEIMDEX_HOME``, and ``HEIMDEX_INSECURE``, which says of an
    endpoint that is no home's ``1`` for plain text, ``0`` for TLS (else TLS, but on loopback); where a home is given,
    nothing of it counts. An empty ``home`` is none.
    """
    home = home or None
    path = Path(home or default_home()) / "client.json"
    environment = os.environ if home is None else {}
    chosen = endpoint or environment.get("HEIMDEX_ENDPOINT")
    given = token or environment.get("HEIMDEX_TOKEN")
    stored = {} if chosen and given else _stored(path)
    where = chosen or str(stored.get("endpoint") or "")
    own = where == stored.get("endpoint")
    who = given or (str(stored.get("token") or "") if own else "")
    if not (who.isascii() and (who.isprintable() or not who)):
        raise NotConfigured("the token has characters that no token has; make one with `heimdex token`")
    if not where:
        message = f"no stack at {path.parent}: start one with `heimdex up`, or set HEIMDEX_ENDPOINT and HEIMDEX_TOKEN"
        raise NotConfigured(message)
    loopback = where.startswith(("127.0.0.1:", "localhost:"))
    if own:
        return Config(where, who, bool(stored.get("insecure", loopback)))
    return Config(where, who, {"0": False, "1": True}.get(environment.get("HEIMDEX_INSECURE", ""), loopback))


def _stored(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    try:
        stored = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise NotConfigured(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise NotConfigured(_BROKEN.format(path)) from error
    if not isinstance(stored, dict):
        raise NotConfigured(_BROKEN.format(path))
    return stored
