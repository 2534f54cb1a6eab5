"""Step Functions: executions that are run here, count as work, and can be stopped and redriven."""

import json
import re
import threading
import time
from typing import Any

from ministack.core.responses import get_account_id, now_iso
from ministack.services import stepfunctions

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.clock import ScaledClock
from local_region.event_bus import EventBus
from local_region.journal import Journal
from local_region.map_runs import MapRuns
from local_region.operations import add_json_operations
from local_region.pending_work import PendingWork
from local_region.settings import Settings
from local_region.state_runs import StateRun, Stopped, as_failure, run_in
from local_region.state_scopes import taken_variable
from local_region.state_tasks import StateTasks, current_execution

OVER = ("ABORTED", "FAILED", "TIMED_OUT")
# The characters that a name must not have.
BAD_NAME = re.compile(r"[\s<>{}\[\]?*\"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f]")
# What a status event leaves out of inputs and outputs (SFN eventbridge-integration).
MOST_BYTES_IN_EVENT = 248 << 10


class StateMachines:
    """Executions by ARN. Ministack keeps what its API answers of them."""

    def __init__(
        self, settings: Settings, endpoint: str, journal: Journal, pending: PendingWork, events: EventBus
    ) -> None:
        self._clock = ScaledClock(settings.wait_scale)
        self._journal = journal
        self._pending = pending
        self._events = events
        self._tasks = StateTasks(settings, endpoint)
        self._map_runs = MapRuns(journal)
        # Held while an execution's end is told, which another end may follow.
        self._lock = threading.RLock()
        self._counted: set[str] = set()
        self._runs: dict[str, StateRun] = {}
        self._describe_by_ministack = stepfunctions._describe_execution
        self._start_by_ministack = stepfunctions._start_execution
        self._stop_by_ministack = stepfunctions._stop_execution
        self._refusal_by_ministack = stepfunctions._validate_definition_jsonata
        stepfunctions._validate_definition_jsonata = self._refusal
        stepfunctions._start_execution = self._start
        stepfunctions._stop_execution = self._stop
        stepfunctions._describe_execution = self._describe
        stepfunctions._run_execution = self._run
        stepfunctions._emit_execution_status_event = self._emit
        add_json_operations("states", {"RedriveExecution": self._redrive})

    def _refusal(self, definition: Any) -> str | None:
        """Why a definition is refused, if it is."""
        return self._refusal_by_ministack(definition) or taken_variable(definition)

    def _start(self, data: dict[str, Any]) -> Any:
        """Start an execution. The same name and input as of one that runs are answered with that one."""
        machine, name = stepfunctions._state_machines.get(data.get("stateMachineArn")), data.get("name")
        if name and (len(name) > 80 or BAD_NAME.search(name)):
            return stepfunctions.error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
        if machine and name:
            arn = f"{data['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}"
            running = stepfunctions._executions.get(arn)
            if running and running["status"] == "RUNNING" and running["input"] == data.get("input", "{}"):
                return stepfunctions.json_response({"executionArn": arn, "startDate": running["startDate"]})
        return self._start_by_ministack(data)

    def _run(self, execution_arn: str) -> None:
        """Run an execution that ministack has started, in the thread it started it in."""
        current_execution.set(execution_arn)
        execution = stepfunctions._executions[execution_arn]
        machine = stepfunctions._state_machines[execution["stateMachineArn"]]
        about = {"arn": machine["stateMachineArn"], "name": machine["name"], "roleArn": machine["roleArn"]}
        definition = json.loads(machine["definition"])
        run = StateRun(self._clock, self._tasks, self._map_runs.run, execution, definition, about)
        self._runs[execution_arn] = run
        self._carry_out(run)

    def _carry_out(self, run: StateRun) -> None:
        try:
            output = json.dumps(run.run())
        except Stopped:
            return
        except Exception as fault:
            error = as_failure(fault)
            about = {"error": error.error, "cause": error.cause}
            self._end(run, "ExecutionFailed", {"executionFailedEventDetails": about}, status="FAILED", **about)
        else:
            details = {"executionSucceededEventDetails": {"output": output}}
            self._end(run, "ExecutionSucceeded", details, status="SUCCEEDED", output=output)

    def _end(self, run: StateRun, event_type: str, details: dict[str, Any], **changes: Any) -> None:
        with self._lock:
            # It may just have been stopped.
            if run.execution["status"] != "RUNNING":
                return
            run.execution.update(stopDate=now_iso(), **changes)
            run.record(event_type, **details)
        self._emit(run.execution)

    def _stop(self, data: dict[str, Any]) -> Any:
        with self._lock:
            answer = self._stop_by_ministack(data)
        run = self._runs.get(data.get("executionArn"))
        if answer[0] == 200 and run:
            run.stopped.set()
        return answer

    def _emit(self, execution: dict[str, Any]) -> None:
        """Publish an execution's status, and journal it. It is work in progress from its start to its end."""
        arn, status = execution["executionArn"], execution["status"]
        with self._lock:
            begins = status == "RUNNING" and arn not in self._counted
            ends = status != "RUNNING" and arn in self._counted
            if begins:
                self._counted.add(arn)
            if ends:
                self._counted.remove(arn)
        if begins:
            self._pending.enter("state-machine")
        self._journal.record(
            "state-machine",
            executionArn=arn,
            stateMachine=arn.split(":")[6],
            name=execution["name"],
            status=status,
            redriveCount=execution.get("redriveCount", 0),
        )
        self._events.publish("aws.states", "Step Functions Execution Status Change", _status_detail(execution), [arn])
        if ends:
            self._pending.leave("state-machine")

    def _describe(self, data: dict[str, Any]) -> Any:
        status, headers, body = self._describe_by_ministack(data)
        if status != 200:
            return status, headers, body
        return status, headers, json.dumps(json.loads(body) | _redrive_about(_existing(data["executionArn"]))).encode()

    def _redrive(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        arn = params["executionArn"]
        execution = _existing(arn)
        reason = _not_redrivable(execution)
        if reason:
            raise ApiError("ExecutionNotRedrivable", reason)
        execution.update(
            status="RUNNING",
            stopDate=None,
            output=None,
            error=None,
            cause=None,
            redriveCount=execution.get("redriveCount", 0) + 1,
            redriveDate=time.time(),
        )
        run = self._runs[arn]
        run.redrive(execution["redriveCount"])
        self._emit(execution)
        run_in(arn, lambda: self._carry_out(run))
        return {"redriveDate": execution["redriveDate"]}


def _existing(arn: str) -> dict[str, Any]:
    execution = stepfunctions._executions.get(arn)
    if execution is None:
        raise ApiError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
    return execution


def _redrive_about(execution: dict[str, Any]) -> dict[str, Any]:
    """What DescribeExecution and status events say of redrives."""
    reason = _not_redrivable(execution)
    about = {
        "redriveCount": execution.get("redriveCount", 0),
        "redriveStatus": "NOT_REDRIVABLE" if reason else "REDRIVABLE",
    }
    if reason:
        about["redriveStatusReason"] = reason
    if execution.get("mapRunArn") and execution["status"] in OVER:
        about["redriveStatus"] = "REDRIVABLE_BY_MAP_RUN"
    if "redriveDate" in execution:
        about["redriveDate"] = execution["redriveDate"]
    return about


def _not_redrivable(execution: dict[str, Any]) -> str | None:
    """Why an execution cannot be redriven, None when it can."""
    if execution["status"] not in OVER:
        return f"Execution is {execution['status']} and cannot be redriven"
    if execution.get("mapRunArn"):
        return "Execution is a child of a Map Run, which is redriven with its parent"
    if execution["executionArn"].split(":")[4] != get_account_id():
        return "Execution is of another account"
    return None


def _status_detail(execution: dict[str, Any]) -> dict[str, Any]:
    """The detail of a status event (SFN eventbridge-integration)."""
    status = execution["status"]
    about = _redrive_about(execution)
    detail = {
        "executionArn": execution["executionArn"],
        "stateMachineArn": execution["stateMachineArn"],
        "name": execution["name"],
        "status": status,
        "startDate": stepfunctions._iso_to_epoch_ms(execution["startDate"]),
        "stopDate": stepfunctions._iso_to_epoch_ms(execution["stopDate"]),
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": about["redriveCount"],
        "redriveDate": int(about["redriveDate"] * 1000) if "redriveDate" in about else None,
        "redriveStatus": about["redriveStatus"],
        "redriveStatusReason": about.get("redriveStatusReason"),
        "error": execution.get("error"),
        "cause": execution.get("cause"),
    }
    for name in ("input", "output"):
        text = execution[name]
        included = text is None or len(text.encode()) <= MOST_BYTES_IN_EVENT
        detail[name] = text if included else None
        detail[f"{name}Details"] = {"included": included} if text is not None else None
    return detail
