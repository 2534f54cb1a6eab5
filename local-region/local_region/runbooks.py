"""Automation: runbooks carried out step by step, each call with the rights of their role."""

import asyncio
import datetime
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.documents import AWS_OWNED, Documents
from local_region.event_bus import EventBus
from local_region.operations import add_json_operations
from local_region.pages import page, with_next_token
from local_region.pending_work import PendingWork
from local_region.roles import CannotAssume, Credentials, assume, of_session
from local_region.runbook_actions import Doing, RunbookActions, StepFailed
from local_region.runbook_values import (
    BRANCH,
    TYPES,
    Invalid,
    as_text,
    as_texts,
    chosen,
    references,
    resolved,
    selected,
    typed,
)
from local_region.settings import Settings

APPROVE = "aws:approve"
# The actions that wait for a person, or for a signal.
WAITING_ACTIONS = (APPROVE, "aws:pause")
FINAL = ("Cancelled", "Failed", "Rejected", "Success", "TimedOut")
# How long a step may take that says nothing of it; a script may not take longer in any case.
DEFAULT_TIMEOUT_SECONDS = {"aws:approve": 7 * 86400, "aws:executeScript": 600}
OTHER_DEFAULT_TIMEOUT_SECONDS = 3600
NO_OUTPUT = "No output available yet because the step is not successfully executed"


@dataclass
class Execution:
    """A runbook on its way."""

    record: dict[str, Any]
    """What GetAutomationExecution answers."""
    runbook: dict[str, Any]
    parameters: dict[str, Any]
    credentials: Credentials
    outputs: dict[str, Any] = field(default_factory=dict)
    """Of the steps so far, by `step.output`."""
    end: str = "Success"
    """How it will end, by what happened so far."""
    approvals: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    deadline: asyncio.TimerHandle | None = None
    """Of the step that waits."""

    @property
    def id(self) -> str:
        """The execution's id."""
        return self.record["AutomationExecutionId"]

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The runbook's steps."""
        return self.runbook["mainSteps"]

    def step(self, name: str) -> dict[str, Any]:
        """The runbook's step of this name."""
        return next(step for step in self.steps if step["name"] == name)

    def following(self, step: dict[str, Any]) -> dict[str, Any] | None:
        """The step that comes after another in the runbook."""
        return next(iter(self.steps[self.steps.index(step) + 1 :]), None)

    def lookup(self, reference: str) -> Any:
        """What `{{ reference }}` stands for."""
        now = datetime.datetime.now(datetime.timezone.utc)
        variables = {
            "automation:EXECUTION_ID": self.id,
            "global:ACCOUNT_ID": get_account_id(),
            "global:DATE": now.strftime("%Y-%m-%d"),
            "global:DATE_TIME": now.strftime("%Y-%m-%d_%H.%M.%S"),
            "global:REGION": get_region(),
        }
        for values in (self.parameters, self.outputs, variables):
            if reference in values:
                return values[reference]
        raise Invalid(f"There is no {reference} to refer to: no parameter, and no output of a step that was done.")


class Runbooks:
    """The executions of the runbooks of an account and Region."""

    def __init__(
        self, settings: Settings, endpoint: str, pending: PendingWork, events: EventBus, documents: Documents
    ) -> None:
        self._settings = settings
        self._pending = pending
        self._events = events
        self._documents = documents
        self._actions = RunbookActions(settings, endpoint)
        self._executions = AccountRegionScopedDict()
        self._ids_by_token = AccountRegionScopedDict()
        add_json_operations(
            "ssm",
            {
                "DescribeAutomationExecutions": self._describe_executions,
                "GetAutomationExecution": self._get_execution,
                "SendAutomationSignal": self._send_signal,
                "StartAutomationExecution": self.start,
                "StopAutomationExecution": self._stop_execution,
            },
        )

    def start(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """StartAutomationExecution, of a caller who may call it."""
        name, given, token = params["DocumentName"], params.get("Parameters") or {}, params.get("ClientToken")
        if name.rpartition("/")[2].startswith(AWS_OWNED):
            raise ApiError(
                "AutomationDefinitionNotFoundException", f"The local Region does not have AWS's runbook {name}"
            )
        for unknown in ("Targets", "TargetMaps", "TargetLocations", "TargetLocationsURL", "AlarmConfiguration"):
            if params.get(unknown):
                raise _bad_parameters(f"The local Region does not imitate {unknown}")
        if params.get("Mode", "Auto") != "Auto":
            raise _bad_parameters(f"The local Region does not imitate the mode {params['Mode']}")
        version, runbook = self._documents.runbook(name)
        if token and token.lower() in self._ids_by_token:
            return self._same_execution(token.lower(), name, given)
        parameters = _parameters(name, runbook, given)
        execution = self._make_execution(name, version, runbook, parameters, caller)
        self._executions[execution.id] = execution
        if token:
            self._ids_by_token[token.lower()] = (execution.id, name, given)
        self._announce(execution)
        self._pending.start("automation", self._run(execution, execution.steps[0]))
        return {"AutomationExecutionId": execution.id}

    def _make_execution(
        self, name: str, version: str, runbook: dict[str, Any], parameters: dict[str, Any], caller: Caller
    ) -> Execution:
        execution_id = str(uuid.uuid4())
        record = {
            "AutomationExecutionId": execution_id,
            "DocumentName": name,
            "DocumentVersion": version,
            "ExecutionStartTime": time.time(),
            "AutomationExecutionStatus": "InProgress",
            "StepExecutions": [],
            "StepExecutionsTruncated": False,
            # The API's model admits no empty value. A default may be one.
            "Parameters": {key: as_texts(value) for key, value in parameters.items() if value != ""},
            "Outputs": {},
            "Mode": "Auto",
            "ExecutedBy": f"arn:aws:sts::{get_account_id()}:assumed-role/{caller.name}",
        }
        credentials = self._credentials_of(caller)
        execution = Execution(record, runbook, parameters, credentials)
        role = resolved(runbook.get("assumeRole") or "", execution.lookup)
        if role:
            caller.require("iam:PassRole", role, **{"iam:PassedToService": "ssm.amazonaws.com"})
            source = f"arn:aws:ssm:{get_region()}:{get_account_id()}:automation-execution/{execution_id}"
            try:
                execution.credentials = assume(role, f"Automation-{execution_id}", "ssm.amazonaws.com", source)
            except CannotAssume as error:
                raise _bad_parameters(f"The defined assume role is unable to be assumed. {error}") from error
        return execution

    def _credentials_of(self, caller: Caller) -> Credentials:
        """A runbook without a role works with the rights of whoever started it."""
        operator = Credentials(self._settings.access_key_id, self._settings.secret_access_key)
        return of_session(caller.access_key_id) or operator

    def _same_execution(self, token: str, name: str, given: dict[str, list[str]]) -> dict[str, Any]:
        execution_id, *started_with = self._ids_by_token[token]
        if started_with != [name, given]:
            raise ApiError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return {"AutomationExecutionId": execution_id}

    async def _run(self, execution: Execution, step: dict[str, Any] | None) -> None:
        """Carry out steps from `step` on. A step that waits for a person ends this, and a signal continues there."""
        while step is not None:
            record = _step_record(step)
            execution.record["StepExecutions"].append(record)
            execution.record.update(CurrentStepName=step["name"], CurrentAction=step["action"])
            status, answer = await self._attempt(execution, step, record)
            if status == "Success" and step["action"] in WAITING_ACTIONS:
                self._wait(execution, step, record)
                return
            step = self._next(execution, step, record, status, answer)
        self._end(execution, execution.end)

    async def _attempt(self, execution: Execution, step: dict[str, Any], record: dict[str, Any]) -> tuple[str, Any]:
        """Carry out one step, more than once if it says so; answers its status, and its result or what went wrong."""
        status, answer = "Failed", ""
        for _ in range(int(step.get("maxAttempts") or 1)):
            doing = asyncio.ensure_future(self._carry_out(execution, step, record))
            cancelling = asyncio.ensure_future(execution.cancelled.wait())
            await asyncio.wait([doing, cancelling], timeout=_timeout_seconds(step), return_when=asyncio.FIRST_COMPLETED)
            cancelling.cancel()
            if not doing.done():
                doing.cancel()
                await asyncio.wait([doing])
                if execution.cancelled.is_set():
                    return "Cancelled", "The execution was stopped."
                status, answer = "TimedOut", f"Step timed out after {_timeout_seconds(step)} seconds."
                continue
            try:
                return "Success", doing.result()
            except (Invalid, StepFailed) as error:
                status, answer = "Failed", str(error)
        return status, answer

    async def _carry_out(self, execution: Execution, step: dict[str, Any], record: dict[str, Any]) -> Any:
        inputs = resolved(step.get("inputs") or {}, execution.lookup)
        record["Inputs"] = {name: as_text(value) for name, value in inputs.items()}
        doing = Doing(inputs, execution.credentials)
        if step["action"] == BRANCH:
            return {"NextStep": chosen(inputs)}
        if step["action"] == APPROVE:
            return await self._ask(execution, doing)
        if step["action"] in WAITING_ACTIONS:
            return {}
        return _with_outputs(await self._actions.carry_out(step["action"], doing), step)

    async def _ask(self, execution: Execution, doing: Doing) -> Any:
        """Send the request for approval of an aws:approve step to its topic."""
        doing.input("Approvers")
        execution.approvals = int(doing.inputs.get("MinRequiredApprovals") or 1)
        if doing.inputs.get("NotificationArn"):
            message = f"{doing.inputs.get('Message') or ''}\nExecution: {execution.id}".strip()
            subject = f"Approval is asked for by {execution.record['DocumentName']}"[:100]
            await self._actions.call(
                doing,
                "sns",
                "Publish",
                {"TopicArn": doing.inputs["NotificationArn"], "Subject": subject, "Message": message},
            )
        return {}

    def _wait(self, execution: Execution, step: dict[str, Any], record: dict[str, Any]) -> None:
        record["StepStatus"] = "Waiting"
        execution.record["AutomationExecutionStatus"] = "Waiting"
        self._announce(execution)

        def give_up() -> None:
            self._go_on(execution, "TimedOut", f"Step timed out after {_timeout_seconds(step)} seconds.")

        # Waiting is no work in progress.
        execution.deadline = asyncio.get_running_loop().call_later(_timeout_seconds(step), give_up)

    def _go_on(self, execution: Execution, status: str, answer: Any) -> None:
        """Continue after a step that waited."""
        execution.deadline.cancel()
        execution.record["AutomationExecutionStatus"] = "InProgress"
        record = execution.record["StepExecutions"][-1]
        step = self._next(execution, execution.step(record["StepName"]), record, status, answer)
        if step is None:
            self._end(execution, execution.end)
        else:
            self._announce(execution)
            self._pending.start("automation", self._run(execution, step))

    def _next(
        self, execution: Execution, step: dict[str, Any], record: dict[str, Any], status: str, answer: Any
    ) -> dict[str, Any] | None:
        """Record the result of a step. Returns the next step; None at the end of the execution."""
        record.update(StepStatus=status, ExecutionEndTime=time.time())
        if status == "Success":
            record["Outputs"] = {name: as_texts(value) for name, value in answer.items()}
            execution.outputs |= {f"{step['name']}.{name}": value for name, value in answer.items()}
            target = answer.get("NextStep") if step["action"] == BRANCH else None
            return self._after(execution, step, target or step.get("nextStep"))
        record["FailureMessage"] = f"Step fails when it is Execute/Cancelling action. {answer}"
        if status == "Cancelled":
            execution.end = "Cancelled"
            execution.cancelled.clear()
            wish = step.get("onCancel") or "Abort"
        else:
            wish = step.get("onFailure") or "Abort"
            if wish == "Abort" or step.get("isCritical", wish != "Continue"):
                execution.end = status
                execution.record["FailureMessage"] = record["FailureMessage"]
        if wish == "Abort":
            return None
        return self._after(execution, step, wish.removeprefix("step:") if wish.startswith("step:") else None)

    def _after(self, execution: Execution, step: dict[str, Any], target: str | None) -> dict[str, Any] | None:
        if target:
            return execution.step(target) if not step.get("isEnd") or step["action"] == BRANCH else None
        return None if step.get("isEnd") else execution.following(step)

    def _send_signal(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        execution = self._existing_execution(params["AutomationExecutionId"])
        if execution.record["AutomationExecutionStatus"] != "Waiting":
            raise ApiError(
                "InvalidAutomationSignalException", "The signal is not valid for the current Automation execution."
            )
        signal, action = params["SignalType"], execution.record["CurrentAction"]
        if (signal in ("Approve", "Reject")) != (action == APPROVE):
            raise ApiError("InvalidAutomationSignalException", f"The signal {signal} is not valid for {action}.")
        if signal == "Reject":
            self._go_on(execution, "Rejected", "The request was rejected.")
        elif signal == "Approve":
            execution.approvals -= 1
            if execution.approvals <= 0:
                self._go_on(execution, "Success", {"ApprovalStatus": "Approved"})
        elif signal == "Resume":
            self._go_on(execution, "Success", {})
        else:
            raise ApiError("InvalidAutomationSignalException", f"The local Region does not imitate the signal {signal}")
        return {}

    def _stop_execution(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        execution = self._existing_execution(params["AutomationExecutionId"])
        if execution.record["AutomationExecutionStatus"] in FINAL:
            raise ApiError("InvalidAutomationStatusUpdateException", "The Automation execution has ended already.")
        if params.get("Type", "Cancel") != "Cancel":
            raise ApiError(
                "InvalidAutomationStatusUpdateException", f"The local Region does not imitate the type {params['Type']}"
            )
        if execution.record["AutomationExecutionStatus"] == "Waiting":
            self._go_on(execution, "Cancelled", "The execution was stopped.")
        else:
            execution.record["AutomationExecutionStatus"] = "Cancelling"
            execution.cancelled.set()
        return {}

    def _end(self, execution: Execution, status: str) -> None:
        declared = execution.runbook.get("outputs") or []
        execution.record.update(
            AutomationExecutionStatus=status,
            ExecutionEndTime=time.time(),
            Outputs={name: as_texts(execution.outputs.get(name, NO_OUTPUT)) for name in map(_output_name, declared)},
        )
        self._announce(execution)

    def _get_execution(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {"AutomationExecution": self._existing_execution(params["AutomationExecutionId"]).record}

    def _existing_execution(self, execution_id: str) -> Execution:
        execution = self._executions.get(execution_id)
        if execution is None:
            raise ApiError("AutomationExecutionNotFoundException", f"Automation execution {execution_id} not found")
        return execution

    def _describe_executions(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        looked_at = {
            "DocumentNamePrefix": "DocumentName",
            "ExecutionId": "AutomationExecutionId",
            "ExecutionStatus": "AutomationExecutionStatus",
        }
        found = []
        for execution in self._executions.values():
            if all(
                execution.record[looked_at[each["Key"]]].startswith(tuple(each["Values"]))
                for each in params.get("Filters") or []
                if each["Key"] in looked_at
            ):
                found.append(execution.record)
        newest_first = sorted(found, key=lambda record: -record["ExecutionStartTime"])
        shown, token = page(newest_first, params.get("MaxResults", 50), params.get("NextToken"))
        return with_next_token({"AutomationExecutionMetadataList": shown}, token)

    def _announce(self, execution: Execution) -> None:
        record = execution.record
        name = record["DocumentName"]
        detail = {
            "ExecutionId": execution.id,
            "Definition": name,
            "DefinitionVersion": float(record["DocumentVersion"]),
            "Status": record["AutomationExecutionStatus"],
            "StartTime": _clock(record["ExecutionStartTime"]),
            "Time": round((time.time() - record["ExecutionStartTime"]) * 1000) / 1000,
            "ExecutedBy": record["ExecutedBy"],
        }
        if "ExecutionEndTime" in record:
            detail["EndTime"] = _clock(record["ExecutionEndTime"])
        here = f"arn:aws:ssm:{get_region()}:{get_account_id()}"
        self._events.publish(
            "aws.ssm",
            "EC2 Automation Execution Status-change Notification",
            detail,
            [
                f"{here}:automation-execution/{execution.id}",
                f"{here}:automation-definition/{name}:{record['DocumentVersion']}",
            ],
        )


def _step_record(step: dict[str, Any]) -> dict[str, Any]:
    """A step as GetAutomationExecution answers it, at its beginning."""
    record = {
        "StepName": step["name"],
        "Action": step["action"],
        "StepExecutionId": str(uuid.uuid4()),
        "ExecutionStartTime": time.time(),
        "StepStatus": "InProgress",
        "TimeoutSeconds": _timeout_seconds(step),
        "OnFailure": step.get("onFailure") or "Abort",
        "MaxAttempts": int(step.get("maxAttempts") or 1),
        "IsCritical": step.get("isCritical", step.get("onFailure") != "Continue"),
        "IsEnd": bool(step.get("isEnd")),
    }
    return record | ({"NextStep": step["nextStep"]} if step.get("nextStep") else {})


def _timeout_seconds(step: dict[str, Any]) -> int:
    return int(step.get("timeoutSeconds") or DEFAULT_TIMEOUT_SECONDS.get(step["action"], OTHER_DEFAULT_TIMEOUT_SECONDS))


def _with_outputs(answer: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    """A step's outputs: those of its action, and those it declares."""
    outputs = {}
    for declared in step.get("outputs") or []:
        value = selected(answer, declared["Selector"])
        wanted = declared.get("Type") or "String"
        if not TYPES[wanted](value):
            raise Invalid(f"The output {declared['Name']} is {as_text(value)}, which is not of type {wanted}")
        outputs[declared["Name"]] = value
    # What an API operation answers is an output only where the step says so.
    return outputs if step["action"] == "aws:executeAwsApi" else answer | outputs


def _parameters(name: str, runbook: dict[str, Any], given: dict[str, list[str]]) -> dict[str, Any]:
    """The parameters of an execution by their types: what is given, and the defaults of the rest."""
    declared = runbook.get("parameters") or {}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise _bad_parameters(f"Parameters {unknown} are not defined in document {name}")
    missing = sorted(key for key, value in declared.items() if value.get("default") is None and key not in given)
    if missing:
        raise _bad_parameters(f"Document {name} needs parameters {missing}")
    parameters = {}
    for key, about in declared.items():
        for text in given.get(key, []):
            if about.get("allowedValues") and text not in map(as_text, about["allowedValues"]):
                raise _bad_parameters(f"{key} is {text}, not one of {about['allowedValues']}")
            if about.get("allowedPattern") and not re.search(about["allowedPattern"], text):
                raise _bad_parameters(f"{key} is {text}, which does not match {about['allowedPattern']}")
        # Types such as List<AWS::EC2::Instance::Id> are lists of texts, the others of AWS's own are texts.
        wanted = about.get("type") or "String"
        wanted = wanted if wanted in TYPES else "StringList" if wanted.startswith("List<") else "String"
        try:
            parameters[key] = typed(given[key], wanted) if key in given else about["default"]
        except Invalid as error:
            raise _bad_parameters(f"Parameter {key}: {error}") from error
    return parameters


def _bad_parameters(message: str) -> ApiError:
    return ApiError("InvalidAutomationExecutionParametersException", message)


def _output_name(declared: str) -> str:
    """The output that a runbook declares as `step.output`, or as `{{ step.output }}`."""
    return next(iter(references(declared)), declared)


def _clock(moment: float) -> str:
    """A moment as Automation's events write it: Nov 29, 2024 7:43:20 PM."""
    parts = time.gmtime(moment)
    return time.strftime(f"%b {parts.tm_mday}, %Y {(parts.tm_hour - 1) % 12 + 1}:%M:%S %p", parts)
