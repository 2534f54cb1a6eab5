"""Runs the states of an execution: branches, iterations, retries, and the state where a redrive continues."""

import contextvars
import datetime
import json
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import get_region, now_iso
from ministack.services import stepfunctions

from local_region import state_data
from local_region.clock import Clock
from local_region.state_data import failure, limited
from local_region.state_tasks import StateTasks, current_execution

logger = logging.getLogger("local_region")

# Fields of states that are not imitated. Left out silently, they would seem to be.
NOT_IMITATED = ("ItemBatcher", "ResultWriter")
# How many iterations of an inline Map run at once.
INLINE_CONCURRENCY = 40
# An execution fails when its history is longer (SFN service-quotas).
MOST_EVENTS = 25_000
# What ErrorEquals with States.ALL or States.TaskFailed does not catch (SFN concepts-error-handling).
TERMINAL = ("States.DataLimitExceeded", "States.Runtime")


class Stopped(Exception):
    """The execution has been stopped from outside."""


class Stop(threading.Event):
    """Is set when an execution, or a part of it, is to end. What stops the whole stops each part."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[Stop] = []

    def part(self) -> "Stop":
        """The one of a part."""
        part = Stop()
        self._parts.append(part)
        if self.is_set():
            part.set()
        return part

    def set(self) -> None:
        """Stop, and each part as well."""
        super().set()
        for part in list(self._parts):
            part.set()


@dataclass
class Place:
    """The progress in a list of states, where a redrive continues."""

    state: str | None
    """The state to be run next; None when all are done."""
    data: Any
    """Its input, or the output of the last one."""
    variables: dict[str, Any]
    parts: dict[Any, Any] = field(default_factory=dict)
    """The places of the state's branches or iterations, or its map run."""


class StateRun:
    """One execution. A redrive runs it again, from its place."""

    def __init__(
        self,
        clock: Clock,
        tasks: StateTasks,
        map_run: Callable[["StateRun", dict[str, Any], Any, dict[str, Any], Place], Any],
        execution: dict[str, Any],
        definition: dict[str, Any],
        machine: dict[str, str],
        stopped: Stop | None = None,
    ) -> None:
        self.clock = clock
        self.tasks = tasks
        self.execution = execution
        self.machine = machine
        self.query_language = definition.get("QueryLanguage", "JSONPath")
        self.stopped = stopped or Stop()
        self.map_run = map_run
        self._states = definition["States"]
        self._lock = threading.Lock()
        given = json.loads(execution["input"])
        self._place = Place(definition["StartAt"], given, {})
        self._about = {
            "Id": execution["executionArn"],
            "Input": given,
            "Name": execution["name"],
            "RoleArn": machine["roleArn"],
            "StartTime": execution["startDate"],
            "RedriveCount": 0,
        }

    def redrive(self, count: int) -> None:
        """Make ready to be run again, from where it did not succeed."""
        self.stopped.clear()
        self._about |= {"RedriveCount": count, "RedriveTime": now_iso()}
        self.record("ExecutionRedriven", executionRedrivenEventDetails={"redriveCount": count})

    def run(self) -> Any:
        """Run the states that are left; answers the output, or raises stepfunctions._ExecutionError, or Stopped."""
        context = {
            "QueryLanguage": self.query_language,
            "Execution": self._about,
            "StateMachine": {"Id": self.machine["arn"], "Name": self.machine["name"]},
            "stopped": self.stopped,
        }
        return self._run_states(self._states, self._place, context)

    def record(self, event_type: str, **details: Any) -> None:
        """Add an event to the execution's history."""
        events = self.execution["events"]
        with self._lock:
            if len(events) >= MOST_EVENTS and not event_type.startswith("Execution"):
                raise failure(
                    "States.Runtime", f"The execution reached the maximum number of history events ({MOST_EVENTS})."
                )
            number = len(events) + 1
            about = {"id": number, "previousEventId": number - 1, "type": event_type, "timestamp": now_iso()}
            events.append(about | details)

    def in_parallel(self, count: int, most: int, run_part: Callable[[int], Any], stopped: Stop) -> list[Any]:
        """What `run_part` answers for each number below `count`. What one of them raises stops the others."""
        workers = min(count, most)
        if workers == 0:
            return []
        results: list[Future[Any]] = [Future() for _ in range(count)]
        numbers, lock = iter(range(count)), threading.Lock()
        left = workers

        def work() -> None:
            nonlocal left
            while True:
                with lock:
                    number = next(numbers, None)
                    if number is None:
                        left -= 1
                        # Within the lock, so that the last one is told as the last one.
                        self.clock.end_part(left == 0)
                        return
                try:
                    results[number].set_result(run_part(number))
                except BaseException as fault:
                    stopped.set()
                    results[number].set_exception(fault)

        self.clock.begin_parts(workers)
        with ThreadPoolExecutor(max_workers=workers) as pool:
            for _ in range(workers):
                # Each needs a context of its own, which carries the account and Region.
                pool.submit(contextvars.copy_context().run, work)
        faults = [result.exception() for result in results]
        for fault in sorted(filter(None, faults), key=lambda fault: isinstance(fault, Stopped)):
            raise fault
        return [result.result() for result in results]

    def _run_states(self, states: dict[str, Any], place: Place, context: dict[str, Any]) -> Any:
        context = context | {"variables": place.variables}
        while place.state is not None:
            if context["stopped"].is_set():
                raise Stopped
            name = place.state
            if name not in states:
                raise failure("States.Runtime", f"State '{name}' not found in definition")
            state = states[name]
            kind = state["Type"]
            context["State"] = {"Name": name, "EnteredTime": self.clock.now(), "RetryCount": 0}
            context.pop("Task", None)
            about = {"name": name, "input": json.dumps(place.data)}
            self.record(f"{kind}StateEntered", stateEnteredEventDetails=about)
            for missing in NOT_IMITATED:
                if missing in state:
                    raise failure("States.Runtime", f"The local Region does not imitate the field {missing}")
            data, following = self._run_state(kind, state, place, context)
            limited(data, f"The state '{name}' returned an output that")
            about = {"name": name, "output": json.dumps(data)}
            self.record(f"{kind}StateExited", stateExitedEventDetails=about)
            place.data, place.state, place.parts = data, following, {}
        return place.data

    def _run_state(
        self, kind: str, state: dict[str, Any], place: Place, context: dict[str, Any]
    ) -> tuple[Any, str | None]:
        """A state's output, and the name of the state after it."""
        if kind in ("Task", "Parallel", "Map"):
            return self._run_with_retries(kind, state, place, context)
        if kind == "Fail":
            raise failure(*_error_of(state, place.data, context))
        if kind == "Wait":
            self._pause(_seconds(state, place.data, context), context)
        if not state_data.is_jsonata(state, context):
            return self._run_in_jsonpath(kind, state, place.data, context)
        if kind == "Choice":
            return _choose(state, place.data, context)
        output = state_data.passed_on(state, place.data, context)
        return output, None if kind == "Succeed" else state.get("Next")

    def _run_in_jsonpath(
        self, kind: str, state: dict[str, Any], data: Any, context: dict[str, Any]
    ) -> tuple[Any, str | None]:
        if kind == "Choice":
            return stepfunctions._execute_choice(state, data, context)
        if kind == "Pass":
            return stepfunctions._execute_pass(state, data, context)
        if kind not in ("Succeed", "Wait"):
            raise failure("States.Runtime", f"Unknown state type: {kind}")
        selected = stepfunctions._apply_input_path(state, data, context)
        return stepfunctions._apply_output_path(state, selected, context), state.get("Next")

    def _run_with_retries(
        self, kind: str, state: dict[str, Any], place: Place, context: dict[str, Any]
    ) -> tuple[Any, str | None]:
        attempt = {"Task": self._run_task, "Parallel": self._run_branches, "Map": self._run_map}[kind]
        retries: Counter[int] = Counter()
        while True:
            context["State"]["RetryCount"] = retries.total()
            try:
                result = attempt(state, place, context)
                return state_data.output(state, place.data, context, result), state.get("Next")
            except stepfunctions._ExecutionError as error:
                number = _first_match(state.get("Retry") or [], error.error)
                if number is not None and retries[number] < state["Retry"][number].get("MaxAttempts", 3):
                    self._pause(_pause_before_retry(state["Retry"][number], retries[number]), context)
                    retries[number] += 1
                    # What is left of the attempt that failed is of no use to another.
                    place.parts.clear()
                    continue
                number = _first_match(state.get("Catch") or [], error.error)
                if number is None:
                    raise
                catcher = state["Catch"][number]
                about = {"Error": error.error, "Cause": error.cause}
                return state_data.caught(catcher, state, place.data, context, about), catcher["Next"]

    def _run_task(self, state: dict[str, Any], place: Place, context: dict[str, Any]) -> Any:
        resource = state["Resource"]
        waits = resource.endswith(".waitForTaskToken")
        if waits:
            context["Task"] = {"Token": str(uuid.uuid4())}
        given = limited(state_data.arguments(state, place.data, context), "The task's input")
        timeout = state_data.field(state, "TimeoutSeconds", "number", place.data, context)
        history = _TaskHistory(self, resource)
        history.scheduled(given, timeout)
        try:
            if waits:
                result = self._call_back(resource, given, context["Task"]["Token"], timeout)
            elif timeout is None or ":activity:" in resource:
                result = self.tasks.invoke(resource, given)
            else:
                result = self._invoke_within(timeout, resource, given)
            limited(result, f"The task '{context['State']['Name']}' returned a result that")
        except stepfunctions._ExecutionError as error:
            history.failed(error)
            raise
        history.succeeded(result)
        return result

    def _invoke_within(self, timeout: float, resource: str, given: Any) -> Any:
        pool = ThreadPoolExecutor(max_workers=1)
        future = pool.submit(contextvars.copy_context().run, self.tasks.invoke, resource, given)
        # The task goes on, but nobody waits for it any more.
        pool.shutdown(wait=False)
        try:
            return future.result(timeout)
        except FutureTimeout:
            raise failure("States.Timeout", f"The task did not end within {timeout} seconds") from None

    def _call_back(self, resource: str, given: Any, token: str, timeout: float | None) -> Any:
        """Invoke a resource, and wait for whoever it gave the token to."""
        answered = threading.Event()
        stepfunctions._task_tokens[token] = {"event": answered, "result": None, "error": None, "heartbeat": None}
        try:
            self.tasks.invoke(resource, given)
            if not answered.wait(timeout):
                raise failure("States.Timeout", f"Nobody called back within {timeout} seconds")
            answer = stepfunctions._task_tokens[token]
        finally:
            stepfunctions._task_tokens.pop(token, None)
        if answer.get("error"):
            raise failure(answer["error"].get("Error", "States.TaskFailed"), answer["error"].get("Cause", ""))
        return json.loads(answer["result"]) if isinstance(answer["result"], str) else answer["result"]

    def _run_branches(self, state: dict[str, Any], place: Place, context: dict[str, Any]) -> list[Any]:
        given = state_data.arguments(state, place.data, context)
        branches = state["Branches"]
        inside = context | {"stopped": context["stopped"].part()}
        self.record("ParallelStateStarted")

        def run_branch(number: int) -> Any:
            part = _part(place, number, branches[number]["StartAt"], given, context)
            return self._run_states(branches[number]["States"], part, inside)

        try:
            results = self.in_parallel(len(branches), len(branches), run_branch, inside["stopped"])
        except stepfunctions._ExecutionError:
            self.record("ParallelStateFailed")
            raise
        self.record("ParallelStateSucceeded")
        return results

    def _run_map(self, state: dict[str, Any], place: Place, context: dict[str, Any]) -> Any:
        processor = state.get("ItemProcessor") or state["Iterator"]
        if (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED":
            return self.map_run(self, state, place.data, context, place)
        items = items_of(state, place.data, context)
        most = int(state_data.field(state, "MaxConcurrency", "number", place.data, context, 0))
        name, stopped = context["State"]["Name"], context["stopped"].part()
        self.record("MapStateStarted", mapStateStartedEventDetails={"length": len(items)})

        def run_iteration(number: int) -> Any:
            inside = context | {"Map": {"Item": {"Index": number, "Value": items[number]}}, "stopped": stopped}
            if number not in place.parts:
                item = selected(state, place.data, inside, items[number])
                _part(place, number, processor["StartAt"], item, context)
            part = place.parts[number]
            if part.state is None:
                return part.data
            about = {"name": name, "index": number}
            self.record("MapIterationStarted", mapIterationStartedEventDetails=about)
            try:
                result = self._run_states(processor["States"], part, inside)
            except stepfunctions._ExecutionError:
                self.record("MapIterationFailed", mapIterationFailedEventDetails=about)
                raise
            self.record("MapIterationSucceeded", mapIterationSucceededEventDetails=about)
            return result

        try:
            results = self.in_parallel(len(items), most or INLINE_CONCURRENCY, run_iteration, stopped)
        except stepfunctions._ExecutionError:
            self.record("MapStateFailed")
            raise
        self.record("MapStateSucceeded")
        return results

    def _pause(self, seconds: float, context: dict[str, Any]) -> None:
        """Wait, or until this part of the execution is stopped."""
        if seconds > 0:
            self.clock.pause(seconds, context["stopped"])
        if context["stopped"].is_set():
            raise Stopped


class _TaskHistory:
    """The events of a task, which are other ones for a function named by its ARN."""

    def __init__(self, run: StateRun, resource: str) -> None:
        self._run = run
        self._is_function = resource.startswith("arn:") and ":lambda:" in resource and ":function:" in resource
        self._kind = "LambdaFunction" if self._is_function else "Task"
        parts = resource.split(":")
        # arn:aws:states:::aws-sdk:ec2:describeVolumes is of type aws-sdk:ec2, arn:aws:states:::sns:publish of type sns.
        names = parts[5:] if resource.startswith("arn:aws:states:::") else [*parts[2:3], resource]
        self._about = {"resourceType": ":".join(names[:-1]) or "states", "resource": names[-1]}
        if self._is_function:
            self._about = {}
        self._resource = resource

    def scheduled(self, given: Any, timeout: float | None) -> None:
        limit = {"timeoutInSeconds": int(timeout)} if timeout is not None else {}
        if self._is_function:
            self._add("Scheduled", {"resource": self._resource, "input": json.dumps(given)} | limit)
            self._run.record("LambdaFunctionStarted")
            return
        self._add("Scheduled", {"region": get_region(), "parameters": json.dumps(given)} | limit)
        self._add("Started", {})

    def succeeded(self, result: Any) -> None:
        self._add("Succeeded", {"output": json.dumps(result)})

    def failed(self, error: Any) -> None:
        ended = "TimedOut" if error.error == "States.Timeout" else "Failed"
        self._add(ended, {"error": error.error, "cause": error.cause})

    def _add(self, what: str, details: dict[str, Any]) -> None:
        member = f"{self._kind[0].lower()}{self._kind[1:]}{what}EventDetails"
        self._run.record(f"{self._kind}{what}", **{member: self._about | details})


def items_of(state: dict[str, Any], data: Any, context: dict[str, Any]) -> list[Any]:
    """The items of a Map that are in its input."""
    if state_data.is_jsonata(state, context):
        items = state_data.filled_in(state["Items"], data, context) if "Items" in state else data
    else:
        effective = stepfunctions._apply_input_path(state, data, context)
        items = stepfunctions._resolve_path_or_ctx(state.get("ItemsPath", "$"), effective, context)
    if not isinstance(items, list):
        raise failure("States.Runtime", f"The items of a Map must be an array, but are: {json.dumps(items)[:200]}")
    return items


def selected(state: dict[str, Any], data: Any, context: dict[str, Any], item: Any) -> Any:
    """The input of an iteration over `item`."""
    selector = state.get("ItemSelector") or state.get("Parameters")
    if not selector:
        return item
    if state_data.is_jsonata(state, context):
        return state_data.filled_in(selector, data, context)
    effective = stepfunctions._apply_input_path(state, data, context)
    return stepfunctions._resolve_params_obj(selector, effective, context)


def as_failure(fault: Exception) -> Any:
    """The error an execution ends with: its own, or that of a definition that does not hold what it must."""
    if isinstance(fault, stepfunctions._ExecutionError):
        return fault
    logger.error("an execution failed unexpectedly", exc_info=fault)
    return failure("States.Runtime", repr(fault))


def run_in(execution_arn: str, work: Callable[[], None]) -> None:
    """Do `work` in a thread of its own, with the rights of an execution, in the caller's account and Region."""

    def begin() -> None:
        current_execution.set(execution_arn)
        work()

    threading.Thread(target=contextvars.copy_context().run, args=(begin,), daemon=True).start()


def _part(place: Place, number: int, start_at: str, data: Any, context: dict[str, Any]) -> Place:
    """The place of a branch or iteration, which sees the variables around it, and keeps its own to itself."""
    if number not in place.parts:
        place.parts[number] = Place(start_at, data, dict(context["variables"]))
    return place.parts[number]


def _choose(state: dict[str, Any], data: Any, context: dict[str, Any]) -> tuple[Any, str]:
    for rule in state["Choices"]:
        if state_data.field(rule | {"QueryLanguage": "JSONata"}, "Condition", "boolean", data, context):
            return state_data.passed_on(rule, data, context), rule["Next"]
    if "Default" not in state:
        raise failure("States.NoChoiceMatched", "No choice rule matched and there is no Default")
    return state_data.passed_on(state, data, context), state["Default"]


def _error_of(state: dict[str, Any], data: Any, context: dict[str, Any]) -> tuple[str, str]:
    """The error and cause that a Fail ends with."""
    if state_data.is_jsonata(state, context):
        return (
            state_data.field(state, "Error", "string", data, context, "States.Fail"),
            state_data.field(state, "Cause", "string", data, context, ""),
        )
    return stepfunctions._fail_state_error(state, data, context)


def _seconds(state: dict[str, Any], data: Any, context: dict[str, Any]) -> float:
    """How long a Wait takes, by its own account."""
    seconds = state_data.field(state, "Seconds", "number", data, context)
    if seconds is not None:
        if seconds < 0 or not float(seconds).is_integer():
            raise failure("States.QueryEvaluationError", f"The Seconds field must be a natural number, not {seconds}")
        return seconds
    moment = state_data.field(state, "Timestamp", "string", data, context)
    until = stepfunctions._parse_ts(moment)
    if until is None:
        raise failure("States.QueryEvaluationError", f"The Timestamp field is not an ISO-8601 date-time: {moment}")
    return (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds()


def _pause_before_retry(retrier: dict[str, Any], retries: int) -> float:
    """The pause before a retry. With jitter it is shorter in AWS, by chance: here it is not."""
    pause = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries
    return min(pause, retrier.get("MaxDelaySeconds", pause))


def _first_match(handlers: Sequence[dict[str, Any]], error: str) -> int | None:
    """The first of a state's retriers or catchers that is for an error."""
    for number, handler in enumerate(handlers):
        names = handler["ErrorEquals"]
        if error in names:
            return number
        if error not in TERMINAL and (
            "States.ALL" in names or ("States.TaskFailed" in names and error != "States.Timeout")
        ):
            return number
    return None
