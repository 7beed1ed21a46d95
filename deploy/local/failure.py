"""The one error of this package: what is wrong, and what to do -> one line."""

from __future__ import annotations


class DeployError(Exception):
    """Something on this machine keeps the stack from coming up.

    Attributes:
        problem: What is wrong.
        remedy: What to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        """Keep both; they are printed as one line."""
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class NoSuchThing(DeployError):
    """What was asked for by name is not there."""
