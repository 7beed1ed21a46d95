"""Machine: what does not fit is named in one line that says what to do."""

from __future__ import annotations

import platform
import sys

import pytest

from deploy.local.failure import DeployError
from deploy.local.machine import require_platform


def test_this_machine_fits() -> None:
    require_platform()


@pytest.mark.parametrize(
    ("module", "name", "value", "named"),
    [
        (platform, "machine", lambda: "aarch64", "Linux x86-64"),
        (platform, "libc_ver", lambda: ("", ""), "glibc 2.28 or newer is needed, this machine has another C library"),
        (platform, "libc_ver", lambda: ("glibc", "2.17"), "this machine has glibc 2.17"),
        (sys, "version_info", (3, 12, 1), "Python 3.11 is needed"),
    ],
    ids=["arm", "musl", "old glibc", "another Python"],
)
def test_one_that_does_not_fit_is_refused(
    module: object, name: str, value: object, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value)
    with pytest.raises(DeployError) as caught:
        require_platform()
    monkeypatch.undo()
    assert named in str(caught.value)
    assert caught.value.remedy


def test_a_newer_glibc_is_newer_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.100"))
    require_platform()
