"""Query: an argument that may begin with ``-word``, among options -> text."""

from __future__ import annotations

from itertools import islice
from typing import Any

from typer.core import TyperCommand, TyperOption


class QueryCommand(TyperCommand):
    """A command whose argument may begin with one hyphen: what is no option that it has is text.

    Two hyphens are an option's, so that a mistyped one is refused and not searched for.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments with such texts behind ``--``, which says that no option follows."""
        options = {name: each for each in self.get_params(ctx) for name in (*each.opts, *each.secondary_opts)}
        kept: list[str] = []
        texts: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                texts += rest
            elif arg.startswith("-") and not arg.startswith("--") and len(arg) > 1 and arg not in options:
                texts.append(arg)
            else:
                option = options.get(arg)
                takes_value = isinstance(option, TyperOption) and not (option.is_flag or option.count)
                kept += (arg, *islice(rest, int(takes_value)))
        return super().parse_args(ctx, [*kept, "--", *texts])
