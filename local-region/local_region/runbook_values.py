"""The values in a runbook: references to parameters and outputs, selectors into answers, and choices."""

import json
import re
from collections.abc import Callable
from typing import Any

BRANCH = "aws:branch"
REFERENCE = re.compile(r"\{\{\s*([\w:.-]+)\s*\}\}")
SELECTOR_PART = re.compile(
    r"(?P<descent>\.\.)?\.?(?:(?P<name>[\w-]+)|\[(?:(?P<index>\d+)|(?P<all>\*)|'(?P<quoted>[^']+)')\])"
)

# The types of parameters and outputs, and what Python makes of their JSON.
TYPES: dict[str, Callable[[Any], bool]] = {
    "String": lambda value: isinstance(value, str),
    "Integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "Boolean": lambda value: isinstance(value, bool),
    "StringList": lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    "StringMap": lambda value: isinstance(value, dict),
    "MapList": lambda value: isinstance(value, list) and all(isinstance(each, dict) for each in value),
}

# A choice's comparisons: of the variable's value with the one that is written.
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "StringEquals": lambda value, wanted: str(value) == str(wanted),
    "EqualsIgnoreCase": lambda value, wanted: str(value).lower() == str(wanted).lower(),
    "StartsWith": lambda value, wanted: str(value).startswith(str(wanted)),
    "EndsWith": lambda value, wanted: str(value).endswith(str(wanted)),
    "Contains": lambda value, wanted: str(wanted) in str(value),
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
    "NumericGreater": lambda value, wanted: float(value) > float(wanted),
    "NumericLesser": lambda value, wanted: float(value) < float(wanted),
    "NumericGreaterOrEquals": lambda value, wanted: float(value) >= float(wanted),
    "NumericLesserOrEquals": lambda value, wanted: float(value) <= float(wanted),
    "BooleanEquals": lambda value, wanted: as_text(value).lower() == as_text(wanted).lower(),
}


class Invalid(Exception):
    """A value that cannot be had, or is not what it must be."""


def references(value: Any) -> set[str]:
    """What a value, and all that is in it, refers to as `{{ name }}`."""
    if isinstance(value, str):
        return set(REFERENCE.findall(value))
    if isinstance(value, dict):
        return {name for each in value.values() for name in references(each)}
    if isinstance(value, list):
        return {name for each in value for name in references(each)}
    return set()


def resolved(value: Any, lookup: Callable[[str], Any]) -> Any:
    """`value` with its references looked up. A value that is only a reference keeps its type; others become text."""
    if isinstance(value, dict):
        return {key: resolved(each, lookup) for key, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, lookup) for each in value]
    if not isinstance(value, str):
        return value
    whole = REFERENCE.fullmatch(value.strip())
    return lookup(whole[1]) if whole else REFERENCE.sub(lambda found: as_text(lookup(found[1])), value)


def typed(value: Any, wanted: str) -> Any:
    """A parameter's value, which the API takes as a list of texts, as its type."""
    if wanted == "StringList":
        return value
    if wanted == "MapList" and len(value) != 1:
        return [json.loads(each) for each in value]
    text = value[0] if value else ""
    try:
        found = text if wanted == "String" else json.loads(text.lower() if wanted == "Boolean" else text)
    except ValueError:
        found = None
    if wanted not in TYPES or not TYPES[wanted](found):
        raise Invalid(f"{text!r} is not of type {wanted}")
    return found


def selected(answer: Any, selector: str) -> Any:
    """What a selector such as `$.Stacks[0].StackStatus` finds in an answer; a list, if it may find several."""
    if not selector.startswith("$"):
        raise Invalid(f"The selector {selector} does not begin with $")
    found, several, position = [answer], False, 1
    while position < len(selector):
        part = SELECTOR_PART.match(selector, position)
        if part is None:
            raise Invalid(f"The local Region does not imitate the selector {selector}, from {selector[position:]!r}")
        several = several or bool(part["descent"] or part["all"])
        found = [each for value in found for each in _children(value, part)]
        position = part.end()
    if several:
        return found
    if not found:
        raise Invalid(f"The selector {selector} finds nothing in the answer")
    return found[0]


def chosen(inputs: dict[str, Any]) -> str | None:
    """The step that the inputs of an aws:branch, their references resolved, lead to; None for the following one."""
    for choice in inputs.get("Choices") or []:
        if _holds(choice):
            return choice["NextStep"]
    return inputs.get("Default")


def branch_targets(inputs: dict[str, Any]) -> list[str]:
    """All steps that an aws:branch may lead to."""
    choices = inputs.get("Choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(each, dict) for each in choices):
        raise Invalid("aws:branch needs Choices")
    if not all(each.get("NextStep") for each in choices):
        raise Invalid("each of the Choices needs a NextStep")
    return [each["NextStep"] for each in choices] + ([inputs["Default"]] if inputs.get("Default") else [])


def as_text(value: Any) -> str:
    """A value as Automation writes it where it needs text."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def as_texts(value: Any) -> list[str]:
    """A value as Automation's API answers outputs and parameters: a list of texts."""
    return [as_text(each) for each in value] if isinstance(value, list) else [as_text(value)]


def _holds(choice: dict[str, Any]) -> bool:
    for name, combined in (("And", all), ("Or", any)):
        if name in choice:
            return combined(_holds(each) for each in choice[name])
    if "Not" in choice:
        return not _holds(choice["Not"])
    for name, compare in COMPARISONS.items():
        if name in choice:
            try:
                return compare(choice.get("Variable"), choice[name])
            except (TypeError, ValueError):
                return False
    raise Invalid(f"The local Region does not imitate the choice {sorted(choice)}")


def _children(value: Any, part: "re.Match[str]") -> list[Any]:
    name = part["name"] or part["quoted"]
    if part["descent"]:
        return _descendants(value, name)
    if name is not None:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    return list(value) if part["all"] else value[int(part["index"]) :][:1]


def _descendants(value: Any, name: str) -> list[Any]:
    if isinstance(value, list):
        return [found for each in value for found in _descendants(each, name)]
    if not isinstance(value, dict):
        return []
    below = [found for each in value.values() for found in _descendants(each, name)]
    return ([value[name]] if name in value else []) + below
