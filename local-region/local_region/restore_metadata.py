"""The metadata of a restore: a map of strings, in which flags, numbers, lists and objects are strings too."""

import json
from typing import Any

from local_region.api_error import ApiError


class RestoreMetadata:
    """Metadata read by type, each fault with the key it is about."""

    def __init__(self, metadata: dict[str, str], known: tuple[str, ...], required: tuple[str, ...]) -> None:
        self._metadata = metadata
        missing = [key for key in required if not metadata.get(key)]
        if missing:
            raise _invalid(f"Missing required key: {', '.join(missing)}")
        unknown = sorted(set(metadata) - set(known))
        if unknown:
            raise _invalid(f"Unrecognized key: {', '.join(unknown)}")

    def text(self, key: str) -> str | None:
        """A value; None when it is left out or empty."""
        return self._metadata.get(key) or None

    def flag(self, key: str, default: bool) -> bool:
        """A flag, `true` or `false`."""
        text = self.text(key)
        if text is None:
            return default
        if text.lower() not in ("true", "false"):
            raise _invalid(f"{key} is true or false, not {text}")
        return text.lower() == "true"

    def number(self, key: str) -> int | None:
        """A whole number."""
        text = self.text(key)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise _invalid(f"{key} is a number, not {text}") from error

    def texts(self, key: str) -> list[str] | None:
        """A list of strings, written as JSON; None when it is left out or has nothing in it."""
        return self._list(key, str, "strings")

    def objects(self, key: str) -> list[dict[str, Any]] | None:
        """A list of objects, as `texts`."""
        return self._list(key, dict, "objects")

    def object(self, key: str) -> dict[str, Any] | None:
        """An object, written as JSON; None when it is left out."""
        text = self.text(key)
        if text is None:
            return None
        try:
            value: Any = json.loads(text)
        except ValueError as error:
            raise _invalid(f"{key} is a JSON object, not {text}") from error
        if not isinstance(value, dict):
            raise _invalid(f"{key} is a JSON object, not {text}")
        return value

    def _list(self, key: str, of: type, noun: str) -> list[Any] | None:
        text = self.text(key)
        if text is None:
            return None
        try:
            value: Any = json.loads(text)
        except ValueError as error:
            raise _invalid(f"{key} is a JSON array of {noun}, not {text}") from error
        if not isinstance(value, list) or not all(isinstance(item, of) for item in value):
            raise _invalid(f"{key} is a JSON array of {noun}, not {text}")
        return value or None


def _invalid(what: str) -> ApiError:
    return ApiError("InvalidParameterValueException", f"Invalid restore metadata. {what}")
