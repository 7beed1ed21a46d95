"""Settings law: docs/settings.md lists every setting of every process, its default and who reads it, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from deploy.local.settings import taken, variable

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
_ROW = re.compile(r"^\| `(HEIMDEX_[A-Z0-9_]+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


def _rows() -> set[tuple[str, str, str, str]]:
    readers: dict[str, list[str]] = {}
    said: dict[str, tuple[str, str]] = {}
    for process, settings in taken():
        for name, field in settings.model_fields.items():
            default = "required" if field.is_required() else _text(field.default)
            said[name] = (default, field.description or "")
            if process not in readers.setdefault(name, []):
                readers[name].append(process)
    return {(variable(name), *said[name], ", ".join(readers[name])) for name in said}


def _text(default: object) -> str:
    return "none" if default in (None, "") else f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_the_page_lists_exactly_what_is_read() -> None:
    listed = set(_ROW.findall(PAGE.read_text("utf-8")))
    assert listed == _rows()


def test_every_setting_says_what_it_is() -> None:
    assert all(description for _, _, description, _ in _rows())
