"""What a state makes of its input and its result, in either query language: JSONPath by ministack, JSONata by the spec.

`ctx` is ministack's: the context object, with the query language and the variables that can be seen.
"""

import json
from typing import Any

import jsonata
from ministack.services import stepfunctions

# What a state has no result of, and no error: null is a result.
NOTHING = object()
# The parts of the context object. The rest of `ctx` is not to be seen by expressions.
CONTEXT = ("Execution", "Map", "State", "StateMachine", "Task")
# Step Functions' limit on inputs, results, outputs and variables (SFN service-quotas).
MOST_BYTES = 256 << 10


def is_jsonata(state: dict[str, Any], ctx: dict[str, Any]) -> bool:
    """Whether the state's query language is JSONata."""
    return stepfunctions._state_query_language(state, ctx) == "JSONata"


def filled_in(template: Any, data: Any, ctx: dict[str, Any], result: Any = NOTHING, error: Any = NOTHING) -> Any:
    """A JSON value with its JSONata expressions evaluated."""
    if isinstance(template, str):
        is_expression = template.startswith("{%") and template.endswith("%}")
        return _evaluate(template[2:-2].strip(), data, ctx, result, error) if is_expression else template
    if isinstance(template, dict):
        return {name: filled_in(item, data, ctx, result, error) for name, item in template.items()}
    if isinstance(template, list):
        return [filled_in(item, data, ctx, result, error) for item in template]
    return template


def field(state: dict[str, Any], name: str, kind: str, data: Any, ctx: dict[str, Any], default: Any = None) -> Any:
    """A field of a state that may be an expression, or be selected by a path, held to its JSON type."""
    if is_jsonata(state, ctx) and name in state:
        value = filled_in(state[name], data, ctx)
        if stepfunctions._json_type(value) != kind:
            raise failure(
                "States.QueryEvaluationError",
                f"The JSONata expression specified for the field '{name}' returned an unexpected result type. "
                f"Expected '{kind}', but was '{stepfunctions._json_type(value)}' for value: {json.dumps(value)}",
            )
        return value
    if f"{name}Path" in state:
        return stepfunctions._resolve_path_or_ctx(state[f"{name}Path"], data, ctx)
    return state.get(name, default)


def arguments(state: dict[str, Any], data: Any, ctx: dict[str, Any]) -> Any:
    """What a task, or the branches of a Parallel, are given."""
    if is_jsonata(state, ctx):
        return filled_in(state["Arguments"], data, ctx) if "Arguments" in state else data
    return stepfunctions._apply_parameters(state, stepfunctions._apply_input_path(state, data, ctx), ctx)


def output(state: dict[str, Any], data: Any, ctx: dict[str, Any], result: Any) -> Any:
    """The output of a state that has a result; its variables are assigned."""
    if is_jsonata(state, ctx):
        return _output_and_assign(state, data, ctx, result, result)
    selected = stepfunctions._apply_result_selector(state, result)
    return stepfunctions._apply_output_path(state, stepfunctions._apply_result_path(state, data, selected), ctx)


def passed_on(state: dict[str, Any], data: Any, ctx: dict[str, Any]) -> Any:
    """The output of a state, or of a rule of a Choice, that has no result; its variables are assigned."""
    return _output_and_assign(state, data, ctx, data)


def caught(catcher: dict[str, Any], state: dict[str, Any], data: Any, ctx: dict[str, Any], error: Any) -> Any:
    """The output of a state whose error was caught."""
    if is_jsonata(state, ctx):
        return _output_and_assign(catcher, data, ctx, error, error=error)
    return stepfunctions._apply_result_path_raw(catcher.get("ResultPath", "$"), data, error)


def limited(value: Any, what: str) -> Any:
    """`value`, unless it is larger than Step Functions lets it be."""
    if len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()) > MOST_BYTES:
        raise failure(
            "States.DataLimitExceeded", f"{what} has a size exceeding the maximum number of bytes service limit."
        )
    return value


def failure(error: str, cause: str) -> Exception:
    """An error as Step Functions names errors, to be raised."""
    return stepfunctions._ExecutionError(error, cause)


def _output_and_assign(
    state: dict[str, Any], data: Any, ctx: dict[str, Any], default: Any, result: Any = NOTHING, error: Any = NOTHING
) -> Any:
    made = filled_in(state["Output"], data, ctx, result, error) if "Output" in state else default
    # All are evaluated before the first is assigned: they see the variables as they were.
    assigned = filled_in(state.get("Assign") or {}, data, ctx, result, error)
    ctx["variables"].update(limited(assigned, "The Assign field"))
    return made


def _evaluate(expression: str, data: Any, ctx: dict[str, Any], result: Any, error: Any) -> Any:
    states = {"input": data, "context": {name: ctx[name] for name in CONTEXT if name in ctx}}
    if result is not NOTHING:
        states["result"] = result
    if error is not NOTHING:
        states["errorOutput"] = error
    # The library takes None for undefined.
    null = jsonata.utils.Utils.NULL_VALUE
    bindings = {name: null if value is None else value for name, value in ctx["variables"].items()}
    bindings["states"] = states
    try:
        # Only against an endless loop: how long an expression takes here, on a busy machine, says nothing about AWS.
        parsed = jsonata.Jsonata.jsonata(expression, timeout=60_000)
        stepfunctions._register_sfn_jsonata_functions(parsed)
        value = parsed.evaluate(None, bindings)
    except stepfunctions._ExecutionError:
        raise
    except Exception as fault:
        code = getattr(fault, "error", None)
        raise failure("States.QueryEvaluationError", f"{code}: {fault}" if code else str(fault)) from fault
    if value is None and not stepfunctions._jsonata_result_defined(expression, bindings):
        raise failure(
            "States.QueryEvaluationError", f"The JSONata expression '{expression}' did not return a value: undefined"
        )
    return value
