"""Distributed Maps: a child execution for each item, and the map run that counts them."""

import json
import threading
import uuid
from typing import Any

from ministack.core.responses import get_account_id, get_region, now_iso
from ministack.services import stepfunctions

from local_region import state_data
from local_region.journal import Journal
from local_region.state_data import failure, limited
from local_region.state_runs import Place, StateRun, Stop, Stopped, as_failure, items_of, selected

# How many children run at once here; ten thousand may in AWS.
MOST_AT_ONCE = 64
COUNTS = ("pending", "running", "succeeded", "failed", "timedOut", "aborted", "total", "resultsWritten")
READERS = ("arn:aws:states:::s3:getObject", "arn:aws:states:::s3:listObjectsV2")


class MapRuns:
    """Runs the Distributed Maps of executions."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def run(self, parent: StateRun, state: dict[str, Any], data: Any, context: dict[str, Any], place: Place) -> Any:
        """The result of a Distributed Map: what its children put out, in the order of the items."""
        run = place.parts.get("run")
        if run is None:
            run = place.parts["run"] = _MapRun(self._journal, parent, state, data, context)
            run.begin()
        else:
            run.redrive(context["stopped"])
        return run.finish()


class _MapRun:
    """One map run."""

    def __init__(
        self, journal: Journal, parent: StateRun, state: dict[str, Any], data: Any, context: dict[str, Any]
    ) -> None:
        self._journal = journal
        self._parent = parent
        self._stopped = context["stopped"]
        self._processor = state.get("ItemProcessor") or state["Iterator"]
        self._lock = threading.Lock()
        label = state.get("Label") or str(uuid.uuid4())
        place = f"arn:aws:states:{get_region()}:{get_account_id()}"
        self._execution_prefix = f"{place}:execution:{parent.machine['name']}/{label}"
        self._machine = parent.machine | {"arn": f"{parent.machine['arn']}/{label}"}
        self._machine["name"] = f"{parent.machine['name']}/{label}"
        _require_rights(parent, self._execution_prefix)
        # The children work in the role on behalf of the state machine's Map, not of the state machine.
        parent.tasks.require_trust(self._machine["arn"])
        items = _read(parent, state, data, context) if "ItemReader" in state else items_of(state, data, context)
        self._children = [
            self._child(selected(state, data, context | {"Map": {"Item": {"Index": index, "Value": item}}}, item))
            for index, item in enumerate(items)
        ]

        def number(name: str) -> float:
            return state_data.field(state, name, "number", data, context, 0)

        self._most_at_once = int(number("MaxConcurrency"))
        self._limits = {
            name: number(name) for name in ("ToleratedFailureCount", "ToleratedFailurePercentage") if name in state
        }
        none = dict.fromkeys(COUNTS, 0)
        self.record = {
            "mapRunArn": f"{place}:mapRun:{parent.machine['name']}/{label}:{uuid.uuid4()}",
            "executionArn": parent.execution["executionArn"],
            "status": "RUNNING",
            "startDate": now_iso(),
            "maxConcurrency": self._most_at_once,
            "toleratedFailurePercentage": float(number("ToleratedFailurePercentage")),
            "toleratedFailureCount": int(number("ToleratedFailureCount")),
            "itemCounts": none | {"total": len(items), "pending": len(items)},
            "executionCounts": none | {"total": len(items), "pending": len(items)},
            "redriveCount": 0,
            "_stateMachineArn": self._machine["arn"],
        }
        for child in self._children:
            child.execution["mapRunArn"] = self.record["mapRunArn"]
        stepfunctions._map_runs[self.record["mapRunArn"]] = self.record

    def begin(self) -> None:
        """Say in the parent's history, which has no events of the children, that the run begins."""
        self._parent.record("MapStateStarted", mapStateStartedEventDetails={"length": len(self._children)})
        self._parent.record("MapRunStarted", mapRunStartedEventDetails={"mapRunArn": self.record["mapRunArn"]})
        self._tell()

    def redrive(self, stopped: Stop) -> None:
        """Prepare the children that did not succeed for another run."""
        self._stopped = stopped
        self.record.update(status="RUNNING", stopDate=None, redriveCount=self.record["redriveCount"] + 1)
        about = {"mapRunArn": self.record["mapRunArn"], "redriveCount": self.record["redriveCount"]}
        self._parent.record("MapRunRedriven", mapRunRedrivenEventDetails=about)
        for child in self._children:
            child.stopped = stopped
            execution = child.execution
            if execution["status"] in ("SUCCEEDED", "PENDING"):
                continue
            self._move(execution["status"].lower(), "pending")
            execution.update(
                status="PENDING", stopDate=None, error=None, cause=None, redriveCount=execution["redriveCount"] + 1
            )
            child.redrive(execution["redriveCount"])
        self._tell()

    def finish(self) -> list[Any]:
        """Run the children that have not succeeded; answers all results, or fails as the tolerated failures say."""
        left = [child for child in self._children if child.execution["status"] == "PENDING"]
        most = min(self._most_at_once or MOST_AT_ONCE, MOST_AT_ONCE)
        self._parent.in_parallel(len(left), most, lambda number: self._run_child(left[number]), self._stopped)
        if self._stopped.is_set():
            self._end("ABORTED")
            self._parent.record("MapRunAborted")
            raise Stopped
        failed, total = self.record["itemCounts"]["failed"], len(self._children)
        exceeded = [
            failed > self._limits.get("ToleratedFailureCount", failed),
            failed * 100 > self._limits.get("ToleratedFailurePercentage", 100) * total,
        ]
        if any(exceeded) if self._limits else failed:
            self._end("FAILED")
            error, cause = (
                "States.ExceedToleratedFailureThreshold",
                ("The specified tolerated failure threshold was exceeded"),
            )
            self._parent.record("MapRunFailed", mapRunFailedEventDetails={"error": error, "cause": cause})
            self._parent.record("MapStateFailed")
            raise failure(error, cause)
        self._end("SUCCEEDED")
        self._parent.record("MapRunSucceeded")
        self._parent.record("MapStateSucceeded")
        return limited([_result(child.execution) for child in self._children], "The output of the map run")

    def _child(self, given: Any) -> StateRun:
        name = str(uuid.uuid4())
        execution = {
            "executionArn": f"{self._execution_prefix}:{name}",
            "stateMachineArn": self._machine["arn"],
            "name": name,
            "status": "PENDING",
            "startDate": now_iso(),
            "stopDate": None,
            "input": json.dumps(limited(given, "The input of a child execution")),
            "output": None,
            "redriveCount": 0,
            "events": [],
        }
        # The definition's query language is that of its processor too; the parent's variables are not to be seen.
        definition = self._processor | {"QueryLanguage": self._parent.query_language}
        parent = self._parent
        return StateRun(parent.clock, parent.tasks, parent.map_run, execution, definition, self._machine, self._stopped)

    def _run_child(self, child: StateRun) -> None:
        execution = child.execution
        self._move("pending", "running")
        execution["status"] = "RUNNING"
        if not execution["events"]:
            execution["startDate"] = now_iso()
            about = {"input": execution["input"], "roleArn": self._machine["roleArn"]}
            stepfunctions._executions[execution["executionArn"]] = execution
            child.record("ExecutionStarted", executionStartedEventDetails=about)
        try:
            output = json.dumps(child.run())
        except Stopped:
            execution.update(status="ABORTED")
            child.record("ExecutionAborted")
        except Exception as fault:
            error = as_failure(fault)
            execution.update(status="FAILED", error=error.error, cause=error.cause)
            about = {"error": error.error, "cause": error.cause}
            child.record("ExecutionFailed", executionFailedEventDetails=about)
        else:
            execution.update(status="SUCCEEDED", output=output)
            child.record("ExecutionSucceeded", executionSucceededEventDetails={"output": output})
        execution["stopDate"] = now_iso()
        self._move("running", execution["status"].lower())

    def _move(self, before: str, after: str) -> None:
        with self._lock:
            for counts in (self.record["itemCounts"], self.record["executionCounts"]):
                counts[before] -= 1
                counts[after] += 1

    def _end(self, status: str) -> None:
        self.record.update(status=status, stopDate=now_iso())
        self._tell()

    def _tell(self) -> None:
        self._journal.record(
            "map-run",
            mapRunArn=self.record["mapRunArn"],
            executionArn=self.record["executionArn"],
            status=self.record["status"],
            redriveCount=self.record["redriveCount"],
            itemCounts=dict(self.record["itemCounts"]),
        )


def _require_rights(parent: StateRun, prefix: str) -> None:
    """What the documentation has a role need for a Distributed Map (SFN iam-policies-eg-dist-map)."""
    parent.tasks.require("states:StartExecution", parent.machine["arn"])
    name = str(uuid.uuid4())
    # The documented policy names executions of the machine itself; the children's ARNs have the label in them.
    of_machine = prefix.rpartition("/")[0]
    for action in ("states:DescribeExecution", "states:StopExecution"):
        parent.tasks.require(action, f"{prefix}:{name}", f"{of_machine}:{name}")


def _read(parent: StateRun, state: dict[str, Any], data: Any, context: dict[str, Any]) -> list[Any]:
    """The items that an ItemReader reads from S3, with the rights of the role."""
    reader = state["ItemReader"]
    config = reader.get("ReaderConfig") or {}
    if reader.get("Resource") not in READERS or "Transformation" in config:
        raise failure("States.Runtime", f"The local Region does not imitate the ItemReader {json.dumps(reader)}")
    if state_data.is_jsonata(state, context):
        given = state_data.filled_in(reader.get("Arguments") or {}, data, context)
    else:
        effective = stepfunctions._apply_input_path(state, data, context)
        given = stepfunctions._resolve_params_obj(reader.get("Parameters") or {}, effective, context)
    action = reader["Resource"].rpartition(":")[2]
    try:
        answer = parent.tasks.call("s3", action, given)
    except stepfunctions._ExecutionError as error:
        raise failure("States.ItemReaderFailed", f"{error.error}: {error.cause}") from error
    if action == "listObjectsV2":
        items = answer.get("Contents", [])
    else:
        try:
            items = stepfunctions._parse_reader_items(answer["Body"], config)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise failure("States.ItemReaderFailed", f"The object could not be read: {error!r}") from error
    if not isinstance(items, list):
        raise failure("States.ItemReaderFailed", "Attempting to map over non-iterable node.")
    most = state_data.field(config | _language(state), "MaxItems", "number", data, context)
    return items[: int(most)] if most else items


def _language(state: dict[str, Any]) -> dict[str, str]:
    return {"QueryLanguage": state["QueryLanguage"]} if "QueryLanguage" in state else {}


def _result(execution: dict[str, Any]) -> Any:
    """What the output of a Distributed Map holds of a child: its output, or of one that failed all that is known."""
    if execution["status"] == "SUCCEEDED":
        return json.loads(execution["output"])
    return {
        "ExecutionArn": execution["executionArn"],
        "Input": execution["input"],
        "InputDetails": {"Included": True},
        "Name": execution["name"],
        "RedriveCount": execution["redriveCount"],
        "RedriveStatus": "REDRIVABLE_BY_MAP_RUN",
        "StartDate": execution["startDate"],
        "StateMachineArn": execution["stateMachineArn"],
        "Status": execution["status"],
        "StopDate": execution["stopDate"],
        "Error": execution["error"],
        "Cause": execution["cause"],
    }
