"""A refusal, as the AWS API words it."""

from typing import Any


class ApiError(Exception):
    """An answer of an AWS operation that is an error: its code, message, and any further members of its shape."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members
