"""Stack: a home -> everything in it up and ready, or down in order."""

from __future__ import annotations

import fcntl
import getpass
import os
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
from deploy.local.processes import MIGRATE, MODELS, PREPARE, module_command, table
from deploy.local.provision import cache_folder, provision
from deploy.local.servers import configure
from deploy.local.supervisor import WATCHDOG, Managed, Supervisor

DEFAULT_TENANT: Final = "default"
CLIENT_TOKEN_TTL_S: Final = 30 * 24 * 3600  # renewed by every `up`
_READY_TIMEOUT_S: Final = 180
_POLL_S: Final = 0.2
_LOG_TAIL_LINES: Final = 3

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
            return config
        create_keys(home)
        if was_running:
            _require_free_ports(processes, manager.processes())
        else:
            for name in end_leftovers(home):
                say(f"ended {name}, left behind by an earlier manager")
            manager.forget()
            _require_free_ports(processes, {})
            configure(home, config, places)
            manager.launch(table(home, config, places))
        _bring_up(home, manager, processes, say)
        if not options.servers_only:
            _write_client_file(home, config)
    return config


def down(home: Home, say: Say) -> None:
    """Stop the home's stack in order: door, stages, commit, control, then the servers; nothing is left behind."""
    require_config(home)
    with _alone(home):
        manager = Supervisor(home)
        if manager.is_running():
            manager.stop([WATCHDOG], _READY_TIMEOUT_S)
            for together in _by_rank(table(home)):
                running = {name for name, managed in manager.processes().items() if managed.is_up}
                names = [process.name for process in together if process.name in running]
                if names:
                    say(f"stopping {', '.join(names)}")
                    manager.stop(names, max(process.stop_wait_s for process in together) + 10)
            manager.shut_down()
        else:
            manager.forget()
            say("not running")
        for name in end_leftovers(home):
            say(f"ended {name}, left behind")


def run_once(home: Home, name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run one of Heimdex's modules to its end with the home's settings; what it prints goes to the log `name`.

    Raises:
        DeployError: It fails; with the last line it said.
    """
    log = home.logs / f"{name}.log"
    with log.open("ab") as stream:
        start = stream.tell()
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
        said = log.read_bytes()[start:].decode(errors="replace").strip().splitlines()
        raise DeployError(f"{name} failed: {said[-1] if said else f'exit status {done.returncode}'}", f"see {log}")


def _bring_up(home: Home, manager: Supervisor, processes: list[Process], say: Say) -> None:
    servers = [process for process in processes if process.is_server]
    apps = [process for process in processes if not process.is_server]
    manager.start([process.name for process in servers])
    if apps:
        shared = apps[0].environment  # both while the servers come up
        _run_and_say(home, "migrate", MIGRATE, shared, say)
        _run_and_say(home, "models", (MODELS, shared["HEIMDEX_MODELS_DIR"]), shared, say)
    _wait_ready(home, manager, servers, say)
    if apps:
        _run_and_say(home, "prepare", PREPARE, apps[0].environment, say)
        manager.start([process.name for process in apps])
        _wait_ready(home, manager, apps, say)
    manager.start([WATCHDOG])


def _run_and_say(home: Home, name: str, arguments: Sequence[str], environment: Mapping[str, str], say: Say) -> None:
    started = time.monotonic()
    run_once(home, name, arguments, environment)
    say(f"{name:<14} done     {time.monotonic() - started:5.1f} s")


def _wait_ready(home: Home, manager: Supervisor, processes: list[Process], say: Say) -> None:
    started = time.monotonic()
    waiting = {process.name: process for process in processes}
    while waiting:
        for name, process in list(waiting.items()):
            if process.ready():
                say(f"{name:<14} ready    {time.monotonic() - started:5.1f} s")
                del waiting[name]
        if waiting and time.monotonic() - started > _READY_TIMEOUT_S:
            name = next(iter(waiting))
            state = manager.processes()[name]
            why = f"{state.state.lower()} {state.note}".strip()
            message = f"{name} is not ready after {_READY_TIMEOUT_S} s ({why}): {_last_line(home, name)}"
            raise DeployError(message, f"see `heimdex logs {name}`; `heimdex down` stops the rest")
        if waiting:
            time.sleep(_POLL_S)


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
    token = sign_token(home, tenant=DEFAULT_TENANT, user=_user(), ttl_s=CLIENT_TOKEN_TTL_S)
    endpoint = f"{LOOPBACK}:{config.ports['gateway']}"
    write_secret(home.client_file, {"endpoint": endpoint, "token": token, "insecure": True})


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
def _alone(home: Home) -> Iterator[None]:
    """Hold the home against another `up` or `down`."""
    with (home.run / "verb.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeployError(f"another `up` or `down` of {home.root} is at work", "wait until it has ended") from error
        yield
