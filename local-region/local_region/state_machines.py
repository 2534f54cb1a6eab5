"""Step Functions: calls with the rights of the state machine's role, executions that count as work, and redrives."""

import contextvars
import copy
import json
import threading
import time
from typing import Any

from ministack.core.responses import get_account_id, now_iso
from ministack.services import lambda_svc, stepfunctions

from local_region.api_error import ApiError
from local_region.callers import STATE_MACHINE, Caller
from local_region.operations import add_json_operations
from local_region.pending_work import PendingWork
from local_region.roles import CannotAssume, Credentials, assume
from local_region.sdk_integrations import SdkIntegrations
from local_region.settings import Settings

OVER = ("ABORTED", "FAILED", "TIMED_OUT")
# Fields of states that ministack would silently leave out.
NOT_IMITATED = ("ItemBatcher", "ResultWriter")
# The optimized integrations that are nothing but an API call; of these members they make JSON.
JSON_MEMBERS = ("Detail", "Message", "MessageBody")
OPTIMIZED = {
    "arn:aws:states:::events:putEvents": ("events", "putEvents"),
    "arn:aws:states:::sns:publish": ("sns", "publish"),
    "arn:aws:states:::sqs:sendMessage": ("sqs", "sendMessage"),
}

_execution: contextvars.ContextVar[str | None] = contextvars.ContextVar("execution", default=None)
# Whether an iteration of a Map, or a branch of a Parallel, is being run.
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside", default=False)


class StateMachines:
    """What ministack's Step Functions lacks."""

    def __init__(self, settings: Settings, endpoint: str, pending: PendingWork) -> None:
        self._settings = settings
        self._pending = pending
        self._sdk = SdkIntegrations(endpoint)
        self._lock = threading.Lock()
        self._credentials: dict[str, Credentials] = {}
        self._counted: set[str] = set()
        self._contexts: dict[str, dict[str, Any]] = {}
        self._finished: dict[str, dict[tuple, tuple[int, Any]]] = {}
        self._resumed: dict[str, str] = {}
        self._run_by_ministack = stepfunctions._run_execution
        self._emit_by_ministack = stepfunctions._emit_execution_status_event
        self._call_lambda_by_ministack = stepfunctions._call_lambda
        self._describe_by_ministack = stepfunctions._describe_execution
        self._start_by_ministack = stepfunctions._start_execution
        self._run_part_by_ministack = stepfunctions._run_sub_machine
        stepfunctions._SFN_WAIT_SCALE = settings.wait_scale
        stepfunctions._start_execution = self._start
        stepfunctions._run_execution = self._run
        stepfunctions._emit_execution_status_event = self._emit
        stepfunctions._call_lambda = self._call_lambda
        stepfunctions._describe_execution = self._describe
        stepfunctions._run_sub_machine = self._run_part
        stepfunctions._invoke_aws_sdk_integration = self._invoke_sdk
        for resource in OPTIMIZED:
            stepfunctions._SERVICE_DISPATCH[resource] = self._invoke_optimized
        for kind in ("choice", "map", "parallel", "pass", "task", "wait"):
            name = f"_execute_{kind}"
            setattr(stepfunctions, name, self._keeping_context(getattr(stepfunctions, name)))
        add_json_operations("states", {"RedriveExecution": self._redrive})

    def _start(self, data: dict[str, Any]) -> Any:
        """Start an execution. The same name and input as of one that runs are answered with that one."""
        machine = stepfunctions._state_machines.get(data.get("stateMachineArn"))
        if machine and data.get("name"):
            arn = f"{data['stateMachineArn'].replace(':stateMachine:', ':execution:')}:{data['name']}"
            running = stepfunctions._executions.get(arn)
            if running and running["status"] == "RUNNING" and running["input"] == data.get("input", "{}"):
                return stepfunctions.json_response({"executionArn": arn, "startDate": running["startDate"]})
        return self._start_by_ministack(data)

    def _run(self, execution_arn: str) -> None:
        _execution.set(execution_arn)
        self._run_by_ministack(execution_arn)

    def _emit(self, execution: dict[str, Any]) -> None:
        """Publish the event of an execution's status. It is work in progress from its start to its end."""
        arn = execution["executionArn"]
        with self._lock:
            begins = execution["status"] == "RUNNING" and arn not in self._counted
            ends = execution["status"] != "RUNNING" and arn in self._counted
            if begins:
                self._counted.add(arn)
            if ends:
                self._counted.remove(arn)
        if begins:
            self._pending.enter("state-machine")
        self._emit_by_ministack(execution)
        if ends:
            self._pending.leave("state-machine")

    def _credentials_of_role(self) -> Credentials:
        """The credentials that the tasks of the execution that runs here are done with."""
        arn = _execution.get()
        if arn is None:
            # TestState runs a state that is no execution's.
            return Credentials(self._settings.access_key_id, self._settings.secret_access_key)
        with self._lock:
            if arn not in self._credentials:
                machine = stepfunctions._state_machines[stepfunctions._executions[arn]["stateMachineArn"]]
                session = f"{machine['name'][:31]}-{arn.rpartition(':')[2]}"[:64]
                try:
                    self._credentials[arn] = assume(
                        machine["roleArn"], session, "states.amazonaws.com", machine["stateMachineArn"]
                    )
                except CannotAssume as error:
                    raise stepfunctions._ExecutionError("States.TaskFailed", str(error)) from error
            return self._credentials[arn]

    def _invoke_sdk(self, resource: str, input_data: dict[str, Any]) -> Any:
        # arn:aws:states:::aws-sdk:<service>:<action>
        service, action = resource.removesuffix(".waitForTaskToken").split(":")[6:8]
        return self._sdk.call(service, action, input_data or {}, self._credentials_of_role())

    def _invoke_optimized(self, resource: str, input_data: dict[str, Any]) -> Any:
        service, action = OPTIMIZED[resource.removesuffix(".waitForTaskToken")]
        params = copy.deepcopy(input_data)
        for part in (params, *params.get("Entries", [])):
            for name in JSON_MEMBERS:
                if isinstance(part.get(name), (dict, list)):
                    part[name] = json.dumps(part[name])
        return self._sdk.call(service, action, params, self._credentials_of_role())

    def _call_lambda(self, func_ref: str, event: Any) -> Any:
        _, config, _ = lambda_svc._get_func_record_for_ref(func_ref)
        if config:
            caller = Caller(self._credentials_of_role().access_key_id, STATE_MACHINE)
            try:
                caller.require("lambda:InvokeFunction", config["FunctionArn"])
            except ApiError as error:
                raise stepfunctions._ExecutionError("Lambda.AWSLambdaException", error.message) from error
        return self._call_lambda_by_ministack(func_ref, event)

    def _keeping_context(self, execute: Any) -> Any:
        """A state's execution that keeps the execution's context, variables included, for a redrive."""

        def executed(state: dict[str, Any], raw_input: Any, *rest: Any) -> Any:
            for field in NOT_IMITATED:
                if field in state:
                    raise stepfunctions._ExecutionError(
                        "States.Runtime", f"The local Region does not imitate the field {field}"
                    )
            ctx = rest[-1] if rest else None
            if isinstance(ctx, dict) and "Execution" in ctx and not _inside.get():
                self._contexts[ctx["Execution"]["Id"]] = ctx
            return execute(state, raw_input, *rest)

        return executed

    def _run_part(self, states: Any, start_at: str, input_data: Any, execution: dict[str, Any], ctx: Any) -> Any:
        """Run an iteration or a branch; one that succeeded before a redrive is not run again."""
        arn = ctx["Execution"]["Id"]
        parent = stepfunctions._executions.get(arn)
        if _inside.get() or parent is None:
            return self._run_part_by_ministack(states, start_at, input_data, execution, ctx)
        state = _entered_last(parent)["name"]
        index = ((ctx.get("Map") or {}).get("Item") or {}).get("Index")
        key, finished = (state, start_at, index, json.dumps(input_data)), self._finished.setdefault(arn, {})
        round_number = parent.get("redriveCount", 0)
        if self._resumed.get(arn) == state and key in finished and finished[key][0] < round_number:
            return copy.deepcopy(finished[key][1])
        token = _inside.set(True)
        try:
            result = self._run_part_by_ministack(states, start_at, input_data, execution, ctx)
        finally:
            _inside.reset(token)
        finished[key] = (round_number, copy.deepcopy(result))
        return result

    def _describe(self, data: dict[str, Any]) -> Any:
        status, headers, body = self._describe_by_ministack(data)
        if status != 200:
            return status, headers, body
        execution = stepfunctions._executions[data["executionArn"]]
        reason = _not_redrivable(execution)
        redrive = {
            "redriveCount": execution.get("redriveCount", 0),
            "redriveStatus": "NOT_REDRIVABLE" if reason else "REDRIVABLE",
        }
        if reason:
            redrive["redriveStatusReason"] = reason
        if "redriveDate" in execution:
            redrive["redriveDate"] = execution["redriveDate"]
        return status, headers, json.dumps(json.loads(body) | redrive).encode()

    def _redrive(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        arn = params["executionArn"]
        execution = stepfunctions._executions.get(arn)
        if execution is None:
            raise ApiError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        reason = _not_redrivable(execution)
        if reason:
            raise ApiError("ExecutionNotRedrivable", reason)
        entered = _entered_last(execution)
        execution.update(
            status="RUNNING",
            stopDate=None,
            output=None,
            error=None,
            cause=None,
            redriveCount=execution.get("redriveCount", 0) + 1,
            redriveDate=time.time(),
        )
        stepfunctions._add_event(
            execution,
            "ExecutionRedriven",
            {"executionRedrivenEventDetails": {"redriveCount": execution["redriveCount"]}},
        )
        self._resumed[arn] = entered["name"]
        stepfunctions._emit_execution_status_event(execution)
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run_again, execution, entered), daemon=True).start()
        return {"redriveDate": execution["redriveDate"]}

    def _run_again(self, execution: dict[str, Any], entered: dict[str, Any]) -> None:
        """Go on with the state that did not succeed, with the input it had."""
        arn = execution["executionArn"]
        _execution.set(arn)
        machine = stepfunctions._state_machines[execution["stateMachineArn"]]
        states = json.loads(machine["definition"])["States"]
        name, data = entered["name"], json.loads(entered["input"])
        try:
            while name and execution["status"] == "RUNNING":
                data, name = self._run_state(execution, states[name], name, data)
                self._resumed.pop(arn, None)
        except stepfunctions._ExecutionError as error:
            stepfunctions._fail_execution(execution, error.error, error.cause)
            return
        if execution["status"] == "RUNNING":
            output = json.dumps(data)
            execution.update(status="SUCCEEDED", output=output, stopDate=now_iso())
            stepfunctions._add_event(
                execution, "ExecutionSucceeded", {"executionSucceededEventDetails": {"output": output}}
            )
            stepfunctions._emit_execution_status_event(execution)

    def _context(self, execution: dict[str, Any]) -> dict[str, Any]:
        """The context of an execution as its last state left it."""
        arn, machine = execution["executionArn"], stepfunctions._state_machines[execution["stateMachineArn"]]
        return self._contexts.get(arn) or {
            "QueryLanguage": json.loads(machine["definition"]).get("QueryLanguage", "JSONPath"),
            "Execution": {
                "Id": arn,
                "Input": json.loads(execution["input"]),
                "Name": execution["name"],
                "StartTime": execution["startDate"],
            },
            "StateMachine": {"Id": execution["stateMachineArn"], "Name": machine["name"]},
            "variables": {},
        }

    def _run_state(self, execution: dict[str, Any], state: dict[str, Any], name: str, data: Any) -> tuple[Any, Any]:
        """Run one state; answers its output, and the name of the next one, if there is one."""
        ctx, kind = self._context(execution), state["Type"]
        ctx["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
        about = {"name": name, "input": json.dumps(data)}
        stepfunctions._add_event(execution, f"{kind}StateEntered", {"stateEnteredEventDetails": about})
        if kind == "Fail":
            raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, data, ctx))
        if kind == "Succeed":
            data = stepfunctions._apply_output_path(state, stepfunctions._apply_input_path(state, data, ctx), ctx)
            following = None
        elif kind in ("Task", "Parallel", "Map"):
            data, following = getattr(stepfunctions, f"_execute_{kind.lower()}")(state, data, execution, ctx)
        else:
            data, following = getattr(stepfunctions, f"_execute_{kind.lower()}")(state, data, ctx)
        about = {"name": name, "output": json.dumps(data)}
        stepfunctions._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": about})
        return data, following


def _entered_last(execution: dict[str, Any]) -> dict[str, Any]:
    """Name and input of the state that an execution entered last; states in a Map or Parallel are not written down."""
    return next(
        event["stateEnteredEventDetails"]
        for event in reversed(execution["events"])
        if event["type"].endswith("Entered")
    )


def _not_redrivable(execution: dict[str, Any]) -> str | None:
    """Why an execution cannot be redriven, None when it can."""
    if execution["status"] == "RUNNING":
        return "Execution is RUNNING and cannot be redriven"
    if execution["status"] not in OVER:
        return f"Execution is {execution['status']} and cannot be redriven"
    if execution.get("mapRunArn"):
        return "Execution is a child of a Map Run, which the local Region redrives with its parent"
    if execution["executionArn"].split(":")[4] != get_account_id():
        return "Execution is of another account"
    return None
