"""Home: a folder -> the layout of one stack, its remembered choices and its secrets."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import stat
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.local.failure import DeployError

_VERSION: Final = 1
_SOCKET_FOLDER_LIMIT: Final = 70  # a socket's path has at most 108 bytes; a name and a process id come on top


@dataclass(frozen=True)
class Config:
    """What one stack remembers between starts.

    Attributes:
        profile: `fake`, `small` or `production`.
        ports: Name of a listener -> TCP port.
        catalog: SQLAlchemy URL; empty means SQLite in the home.
        settings: `HEIMDEX_*` settings of the user's own, which win over what the home gives.
        s3_access_key: Of this stack's object store.
        s3_secret_key: Of this stack's object store.
        page_token_key: Signs page tokens and keys hashes of queries (hex).
        kafka_cluster_id: 22 characters of base64url.
    """

    profile: str
    ports: Mapping[str, int]
    s3_access_key: str
    s3_secret_key: str
    page_token_key: str
    kafka_cluster_id: str
    catalog: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Home:
    """Where the parts of one stack lie, all below `root`."""

    root: Path

    @property
    def config_file(self) -> Path:
        """Return the file of remembered choices and secrets (0600)."""
        return self.root / "config.json"

    @property
    def client_file(self) -> Path:
        """Return the file in which client verbs find endpoint and token (0600)."""
        return self.root / "client.json"

    @property
    def keys(self) -> Path:
        """Return the folder of the token-signing key and its public half."""
        return self.root / "keys"

    @property
    def conf(self) -> Path:
        """Return the folder of rendered server settings."""
        return self.root / "conf"

    @property
    def data(self) -> Path:
        """Return the folder of everything that must survive."""
        return self.root / "data"

    @property
    def logs(self) -> Path:
        """Return the folder of logs."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Return the folder of process records; empty while the stack is down."""
        return self.root / "run"

    @property
    def runtime(self) -> Path:
        """Return the folder of the manager's socket: `run`, or one keyed by the home where that path is too long."""
        if len(str(self.run)) < _SOCKET_FOLDER_LIMIT:
            return self.run
        key = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        if base and len(base) < _SOCKET_FOLDER_LIMIT - len(key) and os.access(base, os.W_OK | os.X_OK):
            return Path(base) / f"heimdex-{key}"
        return Path(tempfile.gettempdir()) / f"heimdex-{os.geteuid()}-{key}"

    def create(self) -> None:
        """Make the folders, for this user alone."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for folder in (self.keys, self.conf, self.data, self.logs, self.run):
                folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            message = f"cannot use {self.root} as a home: {error.strerror}"
            raise DeployError(message, "name another folder with --home") from error

    def create_runtime(self) -> Path:
        """Make the runtime folder and return it; refuse one that belongs to somebody else."""
        folder = self.runtime
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise DeployError(f"{folder} belongs to somebody else", f"remove {folder}, or set XDG_RUNTIME_DIR")
        return folder


def default_home() -> Home:
    """Return the home of a caller who names none: `HEIMDEX_HOME`, else the usual one."""
    if named := os.environ.get("HEIMDEX_HOME"):
        return Home(Path(named).expanduser().resolve())
    return usual_home()


def usual_home() -> Home:
    """Return the home that no command need name: in `XDG_DATA_HOME`, else in `~/.local/share`."""
    return Home(Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "heimdex")


def home_at(folder: Path | None) -> Home:
    """Return the home at `folder`, or the default one."""
    return default_home() if folder is None else Home(folder.expanduser().resolve())


def new_config(ports: Mapping[str, int], profile: str) -> Config:
    """Return a config with new secrets."""
    return Config(
        profile=profile,
        ports=dict(ports),
        s3_access_key=f"heimdex{secrets.token_hex(6)}",
        s3_secret_key=secrets.token_hex(24),
        page_token_key=secrets.token_hex(32),
        kafka_cluster_id=base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
    )


def read_config(home: Home) -> Config | None:
    """Return the home's config, or None when the home is new.

    Raises:
        DeployError: The file is of a newer Heimdex, or damaged.
    """
    try:
        document = json.loads(home.config_file.read_text(encoding="utf-8"))
        version = document.pop("version")
        if version > _VERSION:
            message = f"{home.config_file} is of a newer Heimdex (version {version}, this one knows {_VERSION})"
            raise DeployError(message, "use that Heimdex, or another --home")
        return Config(**document)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        message = f"{home.config_file} is not readable for you"
        raise DeployError(message, "run as the user who owns this home, or name another one with --home") from error
    except (ValueError, KeyError, TypeError) as error:
        message = f"{home.config_file} is damaged ({error})"
        raise DeployError(message, "restore it, or move the home away and start a new one") from error


def require_config(home: Home) -> Config:
    """Return the home's config; raise DeployError when there is no stack in it."""
    config = read_config(home)
    if config is None:
        raise DeployError(
            f"there is no stack in {home.root}", "start one with `heimdex up`, or name a home with --home"
        )
    return config


def write_config(home: Home, config: Config) -> None:
    """Keep `config` in the home."""
    write_secret(home.config_file, {"version": _VERSION} | asdict(config))


def write_secret(path: Path, document: Mapping[str, Any]) -> None:
    """Write `document` as JSON that only this user can read, in one step."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
