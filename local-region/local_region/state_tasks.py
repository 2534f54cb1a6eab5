"""What the tasks of state machines do: calls of AWS's APIs with the rights of the state machine's role."""

import contextvars
import copy
import json
import threading
import time
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions

from local_region.api_error import ApiError
from local_region.callers import STATE_MACHINE, Caller
from local_region.roles import CannotAssume, Credentials, assume
from local_region.sdk_integrations import SdkIntegrations
from local_region.settings import Settings
from local_region.state_data import failure

LAMBDA = "arn:aws:states:::lambda:invoke"
START = "arn:aws:states:::states:startExecution"
NESTED = f"{START}.sync"
# The optimized integrations that are nothing but an API call; of these members they make JSON.
JSON_MEMBERS = ("Detail", "Input", "Message", "MessageBody")
OPTIMIZED = {
    "arn:aws:states:::events:putEvents": ("events", "putEvents"),
    "arn:aws:states:::sns:publish": ("sns", "publish"),
    "arn:aws:states:::sqs:sendMessage": ("sqs", "sendMessage"),
    START: ("sfn", "startExecution"),
}
# What a role needs to wait for a nested execution (SFN stepfunctions-iam).
WATCHES = ("events:PutTargets", "events:PutRule", "events:DescribeRule")
WATCHING_RULE = "StepFunctionsGetEventsForStepFunctionsExecutionRule"
LOOK_SECONDS = 0.05

# The execution whose task runs here: of a Distributed Map's child, the one at the top.
current_execution: contextvars.ContextVar[str | None] = contextvars.ContextVar("execution", default=None)


class StateTasks:
    """Carries out tasks, each with the credentials of the execution it is of."""

    def __init__(self, settings: Settings, endpoint: str) -> None:
        self._settings = settings
        self._sdk = SdkIntegrations(endpoint)
        self._lock = threading.Lock()
        self._credentials: dict[str, Credentials] = {}
        self._invoke_by_ministack = stepfunctions._invoke_resource
        # Ministack invokes resources that wait for a token, and those of TestState.
        stepfunctions._invoke_resource = self.invoke

    def invoke(self, resource: str, given: Any) -> Any:
        """The result of a task's resource, or stepfunctions._ExecutionError."""
        plain = resource.removesuffix(".waitForTaskToken")
        if plain == LAMBDA:
            payload = self._call_function(given.get("FunctionName", ""), given.get("Payload", {}))
            return {"ExecutedVersion": "$LATEST", "Payload": payload, "StatusCode": 200}
        if ":lambda:" in plain and ":function:" in plain:
            return self._call_function(plain, given)
        if plain.startswith(NESTED):
            return self._run_nested(given, plain.endswith(":2"))
        if plain in OPTIMIZED:
            return self._call_optimized(plain, given)
        if ":::aws-sdk:" in plain:
            # arn:aws:states:::aws-sdk:<service>:<action>
            service, action = plain.split(":")[6:8]
            return self.call(service, action, given or {})
        return self._invoke_by_ministack(resource, given)

    def call(self, service: str, action: str, given: dict[str, Any]) -> Any:
        """The answer of an API, or stepfunctions._ExecutionError."""
        return self._sdk.call(service, action, given, self.credentials())

    def require(self, action: str, *resources: str) -> None:
        """Fail the state unless the role may do `action` on one of `resources`."""
        caller = Caller(self.credentials().access_key_id, STATE_MACHINE)
        for number, resource in enumerate(resources, 1):
            try:
                caller.require(action, resource)
                return
            except ApiError as error:
                if number == len(resources):
                    raise failure("States.Permissions", error.message) from error

    def credentials(self) -> Credentials:
        """The credentials that the tasks of the execution that runs here are done with."""
        arn = current_execution.get()
        if arn is None:
            # TestState runs a state that is no execution's.
            return Credentials(self._settings.access_key_id, self._settings.secret_access_key)
        with self._lock:
            if arn not in self._credentials:
                machine = stepfunctions._state_machines[stepfunctions._executions[arn]["stateMachineArn"]]
                self._credentials[arn] = self._assume(machine, arn, machine["stateMachineArn"])
            return self._credentials[arn]

    def require_trust(self, source_arn: str) -> None:
        """Fail the state unless the role of the execution that runs here trusts Step Functions for `source_arn`."""
        arn = current_execution.get()
        if arn is not None:
            machine = stepfunctions._state_machines[stepfunctions._executions[arn]["stateMachineArn"]]
            self._assume(machine, arn, source_arn)

    def _assume(self, machine: dict[str, Any], execution_arn: str, source_arn: str) -> Credentials:
        session = f"{machine['name'][:31]}-{execution_arn.rpartition(':')[2]}"[:64]
        try:
            return assume(machine["roleArn"], session, "states.amazonaws.com", source_arn, StateMachine=machine["name"])
        except CannotAssume as error:
            raise failure("States.TaskFailed", str(error)) from error

    def _call_function(self, name: str, payload: Any) -> Any:
        try:
            answer = self.call("lambda", "invoke", {"FunctionName": name, "Payload": json.dumps(payload)})
        except stepfunctions._ExecutionError as error:
            # The name the documentation gives to what is not modelled.
            named = "Lambda.AWSLambdaException" if error.error == "Lambda.LambdaException" else error.error
            raise failure(named, error.cause) from error
        result = json.loads(answer["Payload"]) if answer.get("Payload") else None
        if "FunctionError" in answer:
            known = result if isinstance(result, dict) else {}
            raise failure(known.get("errorType") or "Lambda.Unknown", json.dumps(result))
        return result

    def _call_optimized(self, resource: str, given: Any) -> Any:
        service, action = OPTIMIZED[resource]
        params = copy.deepcopy(given)
        for part in (params, *params.get("Entries", [])):
            for name in JSON_MEMBERS:
                if isinstance(part.get(name), (dict, list)):
                    part[name] = json.dumps(part[name])
        return self.call(service, action, params)

    def _run_nested(self, given: Any, parsed: bool) -> Any:
        """Start an execution and wait for its end."""
        rule = f"arn:aws:events:{get_region()}:{get_account_id()}:rule/{WATCHING_RULE}"
        for action in WATCHES:
            self.require(action, rule)
        started = self._call_optimized(START, given)
        while True:
            execution = self.call("sfn", "describeExecution", {"ExecutionArn": started["ExecutionArn"]})
            if execution["Status"] != "RUNNING":
                break
            time.sleep(LOOK_SECONDS)
        if execution["Status"] != "SUCCEEDED":
            raise failure("States.TaskFailed", json.dumps(execution))
        for name in ("Input", "Output") if parsed else ():
            execution[name] = json.loads(execution[name])
        return execution
