"""SSM documents and Automation. A runbook's steps are walked through and reported, not carried out."""

import asyncio
import hashlib
import json
import re
import time
import uuid
from typing import Any

import yaml
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.event_bus import EventBus
from local_region.operations import add_json_operations
from local_region.pages import page, with_next_token
from local_region.pending_work import PendingWork
from local_region.settings import Settings

# AWS's own documents, which every account sees.
AWS_OWNED = ("AWS-", "AWSEC2-", "AWSSupport-")
# The actions that wait for a person, or for a signal.
WAITING_ACTIONS = ("aws:approve", "aws:pause")
FINAL = ("Cancelled", "Failed", "Rejected", "Success", "TimedOut")


class Runbooks:
    """The documents of an account and Region, and the executions of its runbooks."""

    def __init__(self, settings: Settings, pending: PendingWork, events: EventBus) -> None:
        self._settings = settings
        self._pending = pending
        self._events = events
        self._documents = AccountRegionScopedDict()
        self._executions = AccountRegionScopedDict()
        self._ids_by_token = AccountRegionScopedDict()
        add_json_operations(
            "ssm",
            {
                "CreateDocument": self._create_document,
                "DeleteDocument": self._delete_document,
                "DescribeAutomationExecutions": self._describe_executions,
                "DescribeDocument": self._describe_document,
                "GetAutomationExecution": self._get_execution,
                "GetDocument": self._get_document,
                "SendAutomationSignal": self._send_signal,
                "StartAutomationExecution": self._start_execution,
                "StopAutomationExecution": self._stop_execution,
            },
        )

    def create(self, name: str, content: str | dict[str, Any], document_type: str, document_format: str) -> str:
        """Create a document, or fail with the error of CreateDocument; answers its name."""
        if name.startswith(AWS_OWNED):
            raise ApiError("InvalidDocument", f"The name {name} begins with a prefix reserved for AWS")
        if name in self._documents:
            raise ApiError("DocumentAlreadyExists", f"Document with same name {name} already exists")
        self._documents[name] = _document(name, content, document_type, document_format)
        return name

    def replace(self, name: str, content: str | dict[str, Any], document_format: str) -> None:
        """Make `content` the next, and default, version of a document."""
        before = self._existing_document(name)["description"]
        number = str(int(before["LatestVersion"]) + 1)
        document = _document(name, content, before["DocumentType"], document_format)
        document["description"].update(
            CreatedDate=before["CreatedDate"], DocumentVersion=number, LatestVersion=number, DefaultVersion=number
        )
        self._documents[name] = document

    def delete(self, name: str) -> None:
        """Delete a document if there is one."""
        self._documents.pop(name, None)

    def _create_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        name = self.create(
            params["Name"],
            params["Content"],
            params.get("DocumentType") or "Command",
            params.get("DocumentFormat") or "JSON",
        )
        return {"DocumentDescription": self._documents[name]["description"]}

    def _describe_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {"Document": self._existing_document(params["Name"])["description"]}

    def _get_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        document = self._existing_document(params["Name"])
        return document["description"] | {"Content": document["text"]}

    def _delete_document(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        self._existing_document(params["Name"])
        self.delete(params["Name"])
        return {}

    def _existing_document(self, name: str) -> dict[str, Any]:
        document = self._documents.get(name)
        if document is None:
            raise ApiError("InvalidDocument", f"Document with name {name} does not exist.")
        return document

    def _start_execution(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        name, given, token = params["DocumentName"], params.get("Parameters") or {}, params.get("ClientToken")
        runbook = self._runbook(name)
        declared = runbook.get("parameters") or {}
        if token and token.lower() in self._ids_by_token:
            return self._same_execution(token.lower(), name, given)
        _check_parameters(name, runbook, given)
        defaults = {
            key: _as_list(value["default"]) for key, value in declared.items() if value.get("default") is not None
        }
        role = _assumed_role(runbook, defaults | given)
        if role:
            caller.require("iam:PassRole", role, **{"iam:PassedToService": "ssm.amazonaws.com"})
        execution = {
            "AutomationExecutionId": str(uuid.uuid4()),
            "DocumentName": name,
            "DocumentVersion": "1",
            "ExecutionStartTime": time.time(),
            "AutomationExecutionStatus": "InProgress",
            "StepExecutions": [],
            "StepExecutionsTruncated": False,
            "Parameters": defaults | given,
            "Outputs": {},
            "Mode": params.get("Mode", "Auto"),
            "ExecutedBy": f"arn:aws:sts::{get_account_id()}:assumed-role/{caller.name}",
        }
        self._executions[execution["AutomationExecutionId"]] = execution
        if token:
            self._ids_by_token[token.lower()] = (execution["AutomationExecutionId"], name, given)
        self._announce(execution)
        self._pending.start("automation", self._run(execution, runbook.get("mainSteps") or []))
        return {"AutomationExecutionId": execution["AutomationExecutionId"]}

    def _same_execution(self, token: str, name: str, given: dict[str, list[str]]) -> dict[str, Any]:
        execution_id, *started_with = self._ids_by_token[token]
        if started_with != [name, given]:
            raise ApiError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return {"AutomationExecutionId": execution_id}

    def _runbook(self, name: str) -> dict[str, Any]:
        name = name.rpartition("/")[2]
        if name.startswith(AWS_OWNED):
            return {"mainSteps": [{"name": "run", "action": "aws:executeAwsApi"}]}
        document = self._documents.get(name)
        if document is None or document["description"]["DocumentType"] != "Automation":
            raise ApiError("AutomationDefinitionNotFoundException", f"Automation document {name} not found")
        return document["body"]

    async def _run(self, execution: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        """Walk through the steps. One that waits for a person ends the walk here; a signal starts it again."""
        for step in steps[len(execution["StepExecutions"]) :]:
            record = {
                "StepName": step["name"],
                "Action": step["action"],
                "StepExecutionId": str(uuid.uuid4()),
                "ExecutionStartTime": time.time(),
                "StepStatus": "Waiting" if step["action"] in WAITING_ACTIONS else "InProgress",
            }
            execution["StepExecutions"].append(record)
            execution.update(CurrentStepName=step["name"], CurrentAction=step["action"])
            if step["action"] in WAITING_ACTIONS:
                execution["AutomationExecutionStatus"] = "Waiting"
                self._announce(execution)
                return
            await asyncio.sleep(self._settings.runbook_step_seconds)
            record.update(StepStatus="Success", ExecutionEndTime=time.time())
        self._end(execution, "Success")

    def _send_signal(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        execution = self._existing_execution(params["AutomationExecutionId"])
        if execution["AutomationExecutionStatus"] != "Waiting":
            raise ApiError(
                "InvalidAutomationSignalException", "The signal is not valid for the current Automation execution."
            )
        step = execution["StepExecutions"][-1]
        if params["SignalType"] in ("Approve", "Resume"):
            step.update(StepStatus="Success", ExecutionEndTime=time.time())
            execution["AutomationExecutionStatus"] = "InProgress"
            self._announce(execution)
            steps = self._runbook(execution["DocumentName"]).get("mainSteps") or []
            self._pending.start("automation", self._run(execution, steps))
        elif params["SignalType"] == "Reject":
            step.update(StepStatus="Rejected", ExecutionEndTime=time.time())
            self._end(execution, "Rejected")
        else:
            raise ApiError(
                "InvalidAutomationSignalException",
                f"The local Region does not imitate the signal {params['SignalType']}",
            )
        return {}

    def _stop_execution(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        execution = self._existing_execution(params["AutomationExecutionId"])
        if execution["AutomationExecutionStatus"] in FINAL:
            raise ApiError("InvalidAutomationStatusUpdateException", "The Automation execution has ended already.")
        self._end(execution, "Cancelled")
        return {}

    def _end(self, execution: dict[str, Any], status: str) -> None:
        if execution["AutomationExecutionStatus"] not in FINAL:
            execution.update(AutomationExecutionStatus=status, ExecutionEndTime=time.time())
            self._announce(execution)

    def _get_execution(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        return {"AutomationExecution": self._existing_execution(params["AutomationExecutionId"])}

    def _existing_execution(self, execution_id: str) -> dict[str, Any]:
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
                execution[looked_at[each["Key"]]].startswith(tuple(each["Values"]))
                for each in params.get("Filters") or []
                if each["Key"] in looked_at
            ):
                found.append(execution)
        newest_first = sorted(found, key=lambda execution: -execution["ExecutionStartTime"])
        shown, token = page(newest_first, params.get("MaxResults", 50), params.get("NextToken"))
        return with_next_token({"AutomationExecutionMetadataList": shown}, token)

    def _announce(self, execution: dict[str, Any]) -> None:
        name, execution_id = execution["DocumentName"], execution["AutomationExecutionId"]
        detail = {
            "ExecutionId": execution_id,
            "Definition": name,
            "DefinitionVersion": 1.0,
            "Status": execution["AutomationExecutionStatus"],
            "StartTime": _clock(execution["ExecutionStartTime"]),
            "Time": round((time.time() - execution["ExecutionStartTime"]) * 1000) / 1000,
            "ExecutedBy": execution["ExecutedBy"],
        }
        if "ExecutionEndTime" in execution:
            detail["EndTime"] = _clock(execution["ExecutionEndTime"])
        here = f"arn:aws:ssm:{get_region()}:{get_account_id()}"
        self._events.publish(
            "aws.ssm",
            "EC2 Automation Execution Status-change Notification",
            detail,
            [f"{here}:automation-execution/{execution_id}", f"{here}:automation-definition/{name}:1"],
        )


def _document(name: str, content: str | dict[str, Any], document_type: str, document_format: str) -> dict[str, Any]:
    text = content if isinstance(content, str) else json.dumps(content)
    try:
        body = yaml.safe_load(text) if document_format == "YAML" else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise ApiError("InvalidDocumentContent", f"The content of {name} is not {document_format}: {error}") from error
    if not isinstance(body, dict) or "schemaVersion" not in body:
        raise ApiError("InvalidDocumentContent", f"The content of {name} has no schemaVersion")
    if document_type == "Automation":
        _check_runbook(name, body)
    description = {
        "Name": name,
        "Owner": get_account_id(),
        "CreatedDate": time.time(),
        "Status": "Active",
        "DocumentVersion": "1",
        "LatestVersion": "1",
        "DefaultVersion": "1",
        "DocumentType": document_type,
        "DocumentFormat": document_format,
        "SchemaVersion": body["schemaVersion"],
        "Hash": hashlib.sha256(text.encode()).hexdigest(),
        "HashType": "Sha256",
        "PlatformTypes": ["Linux", "MacOS", "Windows"],
        "Parameters": [
            {"Name": key, "Type": parameter.get("type", "String"), "Description": parameter.get("description", "")}
            for key, parameter in (body.get("parameters") or {}).items()
        ],
    }
    return {"description": description, "text": text, "body": body}


def _check_runbook(name: str, body: dict[str, Any]) -> None:
    if body["schemaVersion"] != "0.3":
        raise ApiError(
            "InvalidDocumentSchemaVersion",
            f"An Automation document has schemaVersion 0.3, {name} has {body['schemaVersion']}",
        )
    steps = body.get("mainSteps")
    if not isinstance(steps, list) or not steps:
        raise ApiError("InvalidDocumentContent", f"{name} has no mainSteps")
    for step in steps:
        if not isinstance(step, dict) or not step.get("name") or not step.get("action"):
            raise ApiError("InvalidDocumentContent", f"A step of {name} lacks its name or action")


def _assumed_role(runbook: dict[str, Any], parameters: dict[str, list[str]]) -> str | None:
    """The role a runbook works with, which its caller must be allowed to pass."""
    role = runbook.get("assumeRole") or ""
    reference = re.fullmatch(r"\{\{\s*(\w+)\s*\}\}", role)
    return (parameters.get(reference.group(1), [""])[0] if reference else role) or None


def _check_parameters(name: str, runbook: dict[str, Any], given: dict[str, list[str]]) -> None:
    if "parameters" not in runbook and name.startswith(AWS_OWNED):
        return
    declared = runbook.get("parameters") or {}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise ApiError(
            "InvalidAutomationExecutionParametersException", f"Parameters {unknown} are not defined in document {name}"
        )
    missing = sorted(key for key, value in declared.items() if value.get("default") is None and key not in given)
    if missing:
        raise ApiError("InvalidAutomationExecutionParametersException", f"Document {name} needs parameters {missing}")


def _as_list(value: Any) -> list[str]:
    return (
        [str(each) for each in value]
        if isinstance(value, list)
        else [value if isinstance(value, str) else json.dumps(value)]
    )


def _clock(moment: float) -> str:
    """A moment as Automation's events write it: Nov 29, 2024 7:43:20 PM."""
    parts = time.gmtime(moment)
    return time.strftime(f"%b {parts.tm_mday}, %Y {(parts.tm_hour - 1) % 12 + 1}:%M:%S %p", parts)
