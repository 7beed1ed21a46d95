"""Platform: this machine -> nothing, or one line that says what is missing."""

from __future__ import annotations

import platform
import re
import sys
from typing import Final

from deploy.local.failure import DeployError

_GLIBC: Final = (2, 28)
_PYTHON: Final = (3, 11)


def require_platform() -> None:
    """Raise DeployError unless this is Linux x86-64 with a new enough glibc and the right Python."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        message = f"the servers run on Linux x86-64, this is {platform.system()} {platform.machine()}"
        raise DeployError(message, "use such a machine for `heimdex up`; the client verbs run here as well")
    library, version = platform.libc_ver()
    if library != "glibc" or tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < _GLIBC:
        found = f"{library} {version}".strip() or "another C library"
        message = f"glibc {_GLIBC[0]}.{_GLIBC[1]} or newer is needed, this machine has {found}"
        raise DeployError(message, "use a distribution from 2019 or later that is built on glibc")
    if sys.version_info[:2] != _PYTHON:
        message = f"Python {_PYTHON[0]}.{_PYTHON[1]} is needed, this is {platform.python_version()}"
        raise DeployError(message, "make the virtual environment with python3.11 (`make setup`)")
