"""Lists, a page at a time."""

import base64
from collections.abc import Sequence
from typing import Any, TypeVar

from local_region.api_error import ApiError

T = TypeVar("T")


def page(
    items: Sequence[T], size: int | None, token: str | None, refused: str = "InvalidNextToken"
) -> tuple[list[T], str | None]:
    """The page of `items` that `token` names, and the token of the page after it; None on the last.

    Tokens are opaque to clients, as in AWS; one that was never given out is refused with the code `refused`.
    """
    start = _start(token, len(items), refused)
    end = len(items) if size is None else start + size
    return list(items[start:end]), _token(end) if end < len(items) else None


def with_next_token(output: dict[str, Any], token: str | None) -> dict[str, Any]:
    """`output`, with its NextToken when there is one."""
    return output | ({"NextToken": token} if token else {})


def _token(start: int) -> str:
    return base64.urlsafe_b64encode(f"start={start}".encode()).decode()


def _start(token: str | None, count: int, refused: str) -> int:
    if not token:
        return 0
    try:
        start = int(base64.urlsafe_b64decode(token).decode().removeprefix("start="))
        if 0 < start <= count:
            return start
    except ValueError:
        pass
    raise ApiError(refused, "The specified token is not valid.")
