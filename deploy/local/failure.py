"""The one error of this package: what is wrong -> one line, and one that says what to do."""

from __future__ import annotations


class DeployError(Exception):
    """Something on this machine keeps the stack from coming up.

    Attributes:
        problem: What is wrong, one line.
        remedy: What to do, one line.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        """Keep both lines."""
        super().__init__(f"{problem}\n  {remedy}")
        self.problem = problem
        self.remedy = remedy
