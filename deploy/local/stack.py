"""Stack: a home -> everything in it up and ready, or down in order."""

from __future__ import annotations

import fcntl
import getpass
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from deploy.local import ports as port_book
from deploy.local.environment import inherited
from deploy.local.failure import DeployError
from deploy.local.home import Config, Home, new_config, read_config, require_config, write_config, write_secret
from deploy.local.keys import create_keys, sign_token
from deploy.local.leftovers import end_leftovers
from deploy.local.machine import require_platform
from deploy.local.ports import LOOPBACK
from deploy.local.process import Process
from deploy.local.processes import MIGRATE, MODELS, PREPARE, PREPARE_NEEDS, SCHEMA, module_command, table
from deploy.local.provision import cache_folder, provision
from deploy.local.servers import configure
from deploy.local.supervisor import WATCHDOG, Managed, Supervisor

DEFAULT_TENANT: Final = "default"
CLIENT_TOKEN_TTL_S: Final = 30 * 24 * 3600  # renewed by every `up`
_READY_TIMEOUT_S: Final = 180
_STARTS: Final = 5  # of a process that ends each time: the next will go no better
_POLL_S: Final = 0.2

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a caller of `up` may choose; None keeps what the home remembers."""

    servers_only: bool = False
    profile: str | None = None
    catalog: str | None = None
    first_port: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


def up(home: Home, options: Options, say: Say) -> Config:
    """Bring the home's stack up and return its config when every process is ready.

    Interrupted, it stops what it has started.

    Raises:
        DeployError: Something keeps it from coming up; what did come up is left running, to be looked at.
    """
    require_platform()
    home.create()
    with _alone(home):
        manager = Supervisor(home)
        was_running = manager.is_running()
        config = _config(home, options, was_running, say)
        places = provision(cache_folder(), say)
        processes = [p for p in table(home, config, places) if p.is_server or not options.servers_only]
        if was_running and not options.settings and _all_ready(manager, processes):
            say("already running")
            if not options.servers_only:
                _write_client_file(home, config)  # its token ends
            return config
        create_keys(home)
        if was_running:
            _require_free_ports(processes, manager.processes())
            _bring_up(home, manager, processes, say)
        else:
            for name in end_leftovers(home):
                say(f"ended {name}, left behind by an earlier manager")
            manager.forget()
            _require_free_ports(processes, {})
            try:
                configure(home, config, places)
                manager.launch(table(home, config, places))
                _bring_up(home, manager, processes, say)
            except KeyboardInterrupt:
                say("interrupted")
                with _undisturbed():
                    _halt(home, manager, say)
                raise
        if not options.servers_only:
            _write_client_file(home, config)
    return config


def down(home: Home, say: Say) -> None:
    """Stop the home's stack in order: door, stages, commit, control, then the servers; nothing is left behind."""
    require_config(home)
    home.create()  # its folder of process records may have been cleared away
    with _alone(home):
        manager = Supervisor(home)
        if not manager.is_running():
            say("not running")
        _halt(home, manager, say)


def _halt(home: Home, manager: Supervisor, say: Say) -> None:
    if manager.is_running():
        manager.stop([WATCHDOG], _READY_TIMEOUT_S)
        for together in _by_rank(table(home)):
            running = {name for name, managed in manager.processes().items() if managed.is_up}
            names = [process.name for process in together if process.name in running]
            if names:
                say(f"stopping {', '.join(names)}")
                manager.stop(names, max(process.stop_wait_s for process in together) + 10)
        manager.shut_down()
    manager.forget()
    for name in end_leftovers(home):
        say(f"ended {name}, left behind")


def run_once(home: Home, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one of Heimdex's modules to its end with the home's settings; what it prints goes to the log `name`.

    Raises:
        DeployError: It fails; with the last line it said.
    """
    log = home.logs / f"{name}.log"
    with log.open("wb") as stream:
        done = subprocess.run(
            module_command(*arguments),
            env=inherited() | dict(environment),
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise DeployError(f"{name} failed: {_last_line(home, name)}", f"see {log}")


def _bring_up(home: Home, manager: Supervisor, processes: list[Process], say: Say) -> None:
    progress = _Progress(home, manager, say)
    servers = [process for process in processes if process.is_server]
    apps = [process for process in processes if not process.is_server]
    manager.start([process.name for process in servers])
    if apps:
        shared = apps[0].environment  # both while the servers come up
        progress.run("migrate", MIGRATE, shared)
        progress.run("schema", SCHEMA, shared)
        progress.run("models", (MODELS, shared["HEIMDEX_MODELS_DIR"]), shared)
        progress.wait_ready([server for server in servers if server.name in PREPARE_NEEDS])
        progress.run("prepare", PREPARE, shared)
        manager.start([process.name for process in apps])  # each waits by itself for the servers that it needs
    progress.wait_ready(processes)
    manager.start([WATCHDOG])


class _Progress:
    """Waits for one thing after the other and says what has come to be, each once."""

    def __init__(self, home: Home, manager: Supervisor, say: Say) -> None:
        self._home, self._manager, self._say = home, manager, say
        self._started_s = time.monotonic()
        self._ready: set[str] = set()
        self._starts: dict[str, set[float]] = {}

    def run(self, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run one of Heimdex's modules to its end. Raises DeployError."""
        run_once(self._home, name, arguments, environment)
        self._tell(name, "done")

    def wait_ready(self, processes: Iterable[Process]) -> None:
        """Return when each of the processes is ready. Raises DeployError: one is too late, or ends again and again."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        waiting = [process for process in processes if process.name not in self._ready]
        while waiting:
            for process in list(waiting):
                if process.ready():
                    self._tell(process.name, "ready")
                    self._ready.add(process.name)
                    waiting.remove(process)
            managed = self._manager.processes()
            for process in waiting:
                self._require_hope(managed[process.name], is_late=time.monotonic() > deadline)
            if waiting:
                time.sleep(_POLL_S)

    def _require_hope(self, managed: Managed, *, is_late: bool) -> None:
        starts = self._starts.setdefault(managed.name, set())
        starts.add(managed.started_s)
        if managed.state == "BACKOFF" and len(starts) >= _STARTS:
            problem = f"{managed.name} {managed.note}"
        elif is_late:
            why = f" ({managed.note})" if managed.note else ""
            problem = f"{managed.name} is not ready after {_READY_TIMEOUT_S} s{why}"
        else:
            return
        remedy = f"see `heimdex logs {managed.name}`; `heimdex down` stops the rest"
        raise DeployError(f"{problem}: {_last_line(self._home, managed.name)}", remedy)

    def _tell(self, name: str, what: str) -> None:
        self._say(f"{name:<14} {what:<8} {time.monotonic() - self._started_s:5.1f} s")


def _require_free_ports(processes: Iterable[Process], managed: Mapping[str, Managed]) -> None:
    """Raise DeployError when somebody else listens where a process that is not up yet wants to."""
    for process in processes:
        if managed and process.name not in managed:
            message = f"the running stack was started by a version of Heimdex that knows no {process.name}"
            raise DeployError(message, "stop it with `heimdex down` and start it again")
        if not managed or not managed[process.name].is_up:
            port_book.require_free(process.ports)


def _all_ready(manager: Supervisor, processes: Iterable[Process]) -> bool:
    managed = manager.processes()
    return all(p.name in managed and managed[p.name].is_up and p.ready() for p in processes)


def _config(home: Home, options: Options, was_running: bool, say: Say) -> Config:  # noqa: FBT001 -- one caller, named there
    config = read_config(home)
    if was_running and config is not None and _differs(config, options):
        message = "the stack is running; its profile, catalogue, ports and settings change only at a start"
        raise DeployError(message, "stop it first with `heimdex down`")
    if config is None or options.first_port is not None:
        ports, reason = port_book.choose(home.root, options.first_port, port_book.registry_file())
        if reason:
            say(reason)
        fresh = new_config(ports, options.profile or "small")
        config = fresh if config is None else replace(config, ports=ports)
    known = port_book.block(min(config.ports.values()))
    config = replace(
        config,
        profile=options.profile or config.profile,
        catalog=config.catalog if options.catalog is None else options.catalog,
        ports=known | dict(config.ports),
        settings=dict(config.settings) | dict(options.settings),
    )
    write_config(home, config)
    return config


def _differs(config: Config, options: Options) -> bool:
    chosen = {"profile": options.profile, "catalog": options.catalog}
    return (
        any(value is not None and value != getattr(config, name) for name, value in chosen.items())
        or (options.first_port is not None and options.first_port != config.ports["gateway"])
        or any(config.settings.get(name) != value for name, value in options.settings.items())
    )


def _by_rank(processes: Iterable[Process]) -> Iterator[list[Process]]:
    ranks: dict[int, list[Process]] = {}
    for process in processes:
        ranks.setdefault(process.stop_rank, []).append(process)
    for rank in sorted(ranks):
        yield ranks[rank]


def _write_client_file(home: Home, config: Config) -> None:
    # Who may read this file may read the key that signs tokens, and so is an administrator already.
    token = sign_token(home, tenant=DEFAULT_TENANT, user=_user(), ttl_s=CLIENT_TOKEN_TTL_S, admin=True)
    endpoint = f"{LOOPBACK}:{config.ports['gateway']}"
    insecure = not config.settings.get("HEIMDEX_GATEWAY_TLS_CERTIFICATE")
    write_secret(home.client_file, {"endpoint": endpoint, "token": token, "insecure": insecure})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return f"uid-{os.geteuid()}"


def _last_line(home: Home, name: str) -> str:
    try:
        lines = (home.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return "it has not said anything"
    return lines[-1][:300] if lines else "it has not said anything"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hear no second Ctrl-C: what goes on inside ends by itself, and half of it would leave processes running."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Hold the home against another `up` or `down`."""
    with (home.run / "verb.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeployError(f"another `up` or `down` of {home.root} is at work", "wait until it has ended") from error
        yield
