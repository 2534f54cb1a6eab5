"""Which variables a definition may assign: those of a branch or an iteration have other names than those around it."""

import json
from typing import Any


def taken_variable(definition: str) -> str | None:
    """Why a definition is refused: it assigns a variable of an outer scope (SFN workflow-variables). Else None."""
    try:
        parsed = json.loads(definition)
    except (TypeError, ValueError):
        return None
    return _taken(parsed, frozenset(), "") if isinstance(parsed, dict) else None


def _taken(workflow: dict[str, Any], outer: frozenset[str], path: str) -> str | None:
    states = workflow.get("States") or {}
    for name, state in states.items():
        for variable in sorted(_assigned(state) & outer):
            return (
                f"SCHEMA_VALIDATION_FAILED: The variable '{variable}' is already assigned in an outer scope "
                f"at {path}/States/{name}"
            )
    known = outer.union(*map(_assigned, states.values()))
    for name, state in states.items():
        for place, inner in _inner(state):
            found = _taken(inner, known, f"{path}/States/{name}/{place}")
            if found:
                return found
    return None


def _assigned(state: dict[str, Any]) -> set[str]:
    """The variables that a state assigns, whatever its next state is."""
    places = [state, *(state.get("Choices") or []), *(state.get("Catch") or [])]
    return {name for place in places for name in place.get("Assign") or {}}


def _inner(state: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The workflows inside a state."""
    branches = [(f"Branches[{number}]", branch) for number, branch in enumerate(state.get("Branches") or [])]
    return branches + [(name, state[name]) for name in ("ItemProcessor", "Iterator") if name in state]
