"""EventBridge's delivery to the targets of a rule, and to the dead-letter queue of a target it cannot reach."""

import asyncio
import contextvars
import json
import re
import time
from collections.abc import Callable
from typing import Any

from ministack.core.arn import parse_arn
from ministack.services import eventbridge, lambda_svc, sns, sqs, stepfunctions
from ministack.services.cloudformation import provisioners

from local_region import api_models
from local_region.api_error import ApiError
from local_region.callers import EVENT_BRIDGE, Caller
from local_region.encryption import service_may_send
from local_region.faults import Fault, Faults
from local_region.functions import Functions
from local_region.journal import Journal
from local_region.pending_work import PendingWork
from local_region.roles import CannotAssume, assume
from local_region.service_principals import on_behalf_of, service_may
from local_region.settings import Settings

PRINCIPAL = "events.amazonaws.com"
CALLER = Caller("", EVENT_BRIDGE)
# What EventBridge calls of a target's service, by the service in the target's ARN.
OPERATIONS = {
    "events": "PutEvents",
    "lambda": "Invoke",
    "sns": "Publish",
    "sqs": "SendMessage",
    "ssm": "StartAutomationExecution",
    "states": "StartExecution",
}
# The beginnings of the resources that EventBridge starts with the role of the target only.
RUNBOOK, STATE_MACHINE = "automation-definition/", "stateMachine:"
# The error codes of its dead letters, by the kind of fault that a delivery met.
ERROR_CODES = {
    "throttled": "THROTTLING",
    "server-error": "ERROR_FROM_TARGET",
    "denied": "NO_PERMISSIONS",
    "reset-before": "CONNECTION_FAILURE",
    "reset-after": "CONNECTION_FAILURE",
    "no-answer-before": "TIMEOUT",
    "no-answer-after": "TIMEOUT",
}
# EventBridge's own limits, where a target has no RetryPolicy.
MOST_RETRIES = 185
LONGEST_AGE_SECONDS = 86400

_event_id: contextvars.ContextVar[str | None] = contextvars.ContextVar("event_id", default=None)


class EventTargets:
    """Delivers matched events. A target that is missing, or does not let EventBridge in, is not retried, as in AWS.

    Nothing else keeps a target from being reached but a tester's fault. That is retried as the target's policy says.
    """

    def __init__(
        self, settings: Settings, journal: Journal, pending: PendingWork, faults: Faults, functions: Functions
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._pending = pending
        self._faults = faults
        self._functions = functions
        self._start_runbook: Callable[[dict[str, Any], Caller], Any] | None = None
        self._deliver_by_ministack = eventbridge._invoke_target
        apply = eventbridge._apply_input_transformer
        eventbridge._apply_input_transformer = lambda transformer, rule, view: apply(
            _with_plain_paths(transformer), rule, _IndexedView(view)
        )
        # Scheduled rules come this way as well.
        eventbridge._invoke_target = self.deliver
        eventbridge._dispatch_to_lambda = self._deliver_to_function
        objection = eventbridge._validate_target_arn
        eventbridge._validate_target_arn = lambda target: objection(target) or _missing_role(target)
        rules = provisioners._RESOURCE_HANDLERS["AWS::Events::Rule"]
        rules["create"] = _of_targets_with_roles(rules["create"])

    def start_runbooks_by(self, start: Callable[[dict[str, Any], Caller], Any]) -> None:
        """Start the runbooks that are targets by `start`, Automation's StartAutomationExecution."""
        self._start_runbook = start

    def deliver(self, target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        """Hand an event to one target of a rule, or to the target's dead-letter queue."""
        view = view or eventbridge._pattern_event_view(event)
        # EventBridge Scheduler delivers this way too, with a role of its own: resource policies do not matter to it.
        refusal = _refusal(target, rule["Arn"]) if ":rule/" in rule["Arn"] else None
        if refusal:
            self._dead_letter(target, rule, view.event_with_detail(), *refusal)
            return
        fault = self._disturbed(target)
        if fault is None or fault.takes_effect:
            self._hand_over(target, event, rule, view)
        if fault and fault.kind != "delayed":
            self._pending.start("delivery", self._retry(target, event, rule, view, fault))

    def _disturbed(self, target: dict[str, Any]) -> Fault | None:
        """The fault that a delivery to a target meets, if it meets one."""
        service = parse_arn(target["Arn"]).service
        operation = OPERATIONS.get(service, "")
        fault = self._faults.draw(service, operation, CALLER)
        if fault:
            seq = self._journal.record(
                "call",
                service=service,
                operation=operation,
                caller=EVENT_BRIDGE,
                status=None,
                errorCode=ERROR_CODES.get(fault.kind),
                durationMs=0.0,
                fault=fault.kind,
            )
            self._faults.note(fault, service, operation, CALLER, seq)
        return fault

    async def _retry(
        self, target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any, fault: Fault
    ) -> None:
        """Deliver again until no fault is met, or the target's retry policy ends it."""
        policy, began, retries = target.get("RetryPolicy") or {}, time.monotonic(), 0
        while True:
            code = ERROR_CODES[fault.kind]
            if code == "NO_PERMISSIONS":
                exhausted = None
                break
            pause = self._settings.retry_seconds[min(retries, 1)]
            if retries >= policy.get("MaximumRetryAttempts", MOST_RETRIES):
                exhausted = "MaximumRetryAttempts"
                break
            if time.monotonic() - began + pause > policy.get("MaximumEventAgeInSeconds", LONGEST_AGE_SECONDS):
                exhausted = "MaximumEventAgeInSeconds"
                break
            await asyncio.sleep(pause)
            retries += 1
            again = self._disturbed(target)
            if again is None or again.takes_effect:
                self._hand_over(target, event, rule, view)
            if again is None or again.kind == "delayed":
                return
            fault = again
        message = f"The target met a fault of kind {fault.kind}."
        self._dead_letter(target, rule, view.event_with_detail(), code, message, retries, exhausted)

    def _hand_over(self, target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any) -> None:
        if parse_arn(target["Arn"]).resource.startswith(RUNBOOK):
            refusal = self._deliver_to_runbook(target, rule, view)
            if refusal:
                self._dead_letter(target, rule, view.event_with_detail(), *refusal)
            return
        token = _event_id.set(event["EventId"])
        try:
            self._deliver_by_ministack(target, event, rule, view)
        finally:
            _event_id.reset(token)

    def _deliver_to_runbook(self, target: dict[str, Any], rule: dict[str, Any], view: Any) -> tuple[str, str] | None:
        """Start the runbook of a target; answers why not, as `_refusal` does."""
        name, _, version = parse_arn(target["Arn"]).resource.removeprefix(RUNBOOK).partition(":")
        try:
            credentials = assume(target.get("RoleArn") or "", "events", PRINCIPAL, rule["Arn"])
            caller = Caller(credentials.access_key_id, EVENT_BRIDGE)
            caller.require("ssm:StartAutomationExecution", target["Arn"] if version else f"{target['Arn']}:$DEFAULT")
            given = {"DocumentName": name, "Parameters": _lists(_input(target, rule, view))}
            faults = api_models.input_faults(
                api_models.service_model("ssm").operation_model("StartAutomationExecution"), given
            )
            if faults:
                return "INVALID_PARAMETER", "; ".join(faults)
            self._start_runbook(given, caller)
        except CannotAssume as error:
            return "NO_PERMISSIONS", str(error)
        except ValueError as error:
            return "INVALID_JSON", f"The input of {target['Id']} is not what Automation takes: {error}"
        except ApiError as error:
            codes = {"AccessDeniedException": "NO_PERMISSIONS", "AutomationDefinitionNotFoundException": "NO_RESOURCE"}
            return codes.get(error.code, "INVALID_PARAMETER"), f"{error.code}: {error.message}"
        return None

    def _deliver_to_function(self, arn: str, payload: str) -> None:
        func, config, _ = lambda_svc._get_func_record_for_ref(arn)
        self._functions.invoke_async(
            lambda_svc._execution_record_for_config(func, config),
            json.loads(payload),
            _event_id.get(),
        )

    def _dead_letter(
        self,
        target: dict[str, Any],
        rule: dict[str, Any],
        body: dict[str, Any],
        code: str,
        message: str,
        retries: int = 0,
        exhausted: str | None = None,
    ) -> None:
        attributes = {
            "RULE_ARN": rule["Arn"],
            "TARGET_ARN": target["Arn"],
            "ERROR_CODE": code,
            "ERROR_MESSAGE": message,
            "RETRY_ATTEMPTS": str(retries),
        }
        if exhausted:
            attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
        queue_arn = (target.get("DeadLetterConfig") or {}).get("Arn")
        queue = sqs._queue_by_arn(queue_arn) if queue_arn else None
        delivered = bool(queue) and _may_send("sqs:SendMessage", queue_arn, queue, rule["Arn"])
        if delivered:
            sqs._act_send_message(
                {
                    "QueueUrl": queue["url"],
                    "MessageBody": json.dumps(body),
                    "MessageAttributes": {
                        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                    },
                },
                "",
            )
        self._journal.record(
            "dead-letter",
            queue=queue_arn,
            attributes=attributes,
            reason=code,
            delivered=delivered,
            eventId=body["id"],
        )


def _refusal(target: dict[str, Any], rule_arn: str) -> tuple[str, str] | None:
    """Why EventBridge cannot deliver to a target at all: an error code of its dead letters, and a message."""
    target_arn = target["Arn"]
    exists, allowed = True, True
    service = parse_arn(target_arn).service
    if service == "lambda":
        func, config, _ = lambda_svc._get_func_record_for_ref(target_arn)
        exists = bool(func and config)
        allowed = exists and service_may(
            PRINCIPAL,
            "lambda:InvokeFunction",
            target_arn,
            func["policy"],
            on_behalf_of(rule_arn),
        )
    elif service == "sqs":
        exists = sqs._queue_by_arn(target_arn) is not None
        allowed = exists and _may_send("sqs:SendMessage", target_arn, sqs._queue_by_arn(target_arn), rule_arn)
    elif service == "sns":
        exists = sns._topic_by_arn_any_scope(target_arn) is not None
        allowed = exists and _may_send("sns:Publish", target_arn, sns._topic_by_arn_any_scope(target_arn), rule_arn)
    elif service == "states":
        exists = stepfunctions._resolve_state_machine_arn(target_arn) is not None
        if exists:
            return _refusal_by_role(target, rule_arn, "states:StartExecution")
    if not exists:
        return "NO_RESOURCE", f"The target {target_arn} does not exist."
    if not allowed:
        return (
            "NO_PERMISSIONS",
            f"EventBridge is not authorized to deliver to {target_arn}: no resource-based policy allows it.",
        )
    return None


def _refusal_by_role(target: dict[str, Any], rule_arn: str, action: str) -> tuple[str, str] | None:
    """Why the role of a target does not let EventBridge deliver to it."""
    try:
        credentials = assume(target.get("RoleArn") or "", "events", PRINCIPAL, rule_arn)
        Caller(credentials.access_key_id, EVENT_BRIDGE).require(action, target["Arn"])
    except (CannotAssume, ApiError) as error:
        return "NO_PERMISSIONS", str(error)
    return None


def _missing_role(target: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
    """PutTargets' refusal of a target without the role that EventBridge needs."""
    if target.get("RoleArn") or not parse_arn(target["Arn"]).resource.startswith((RUNBOOK, STATE_MACHINE)):
        return None
    message = f"RoleArn is required for target {target['Arn']}."
    return eventbridge.error_response_json("ValidationException", message, 400)


def _of_targets_with_roles(create: Callable[..., Any]) -> Callable[..., Any]:
    """CloudFormation's creation of a rule, refusing what PutTargets refuses."""

    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        for target in props.get("Targets") or []:
            if _missing_role(target):
                raise ValueError(f"RoleArn is required for target {target['Arn']}.")
        return create(logical_id, props, stack_name)

    return created


class _IndexedView:
    """An event whose lists are also read by the text of an index: ministack knows no `[0]` in a path."""

    def __init__(self, view: Any) -> None:
        self._view = view

    def envelope(self) -> Any:
        return self._view.envelope()

    def event_with_detail(self) -> Any:
        return _indexed(self._view.event_with_detail())


class _IndexedList(list):
    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(int(key) if isinstance(key, str) and key.isdigit() else key)


def _indexed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _indexed(item) for name, item in value.items()}
    return _IndexedList(_indexed(item) for item in value) if isinstance(value, list) else value


def _with_plain_paths(transformer: dict[str, Any]) -> dict[str, Any]:
    """An input transformer with paths such as `$.resources.0` in place of `$.resources[0]`."""
    paths = transformer.get("InputPathsMap") or {}
    return transformer | {"InputPathsMap": {name: re.sub(r"\[(\d+)\]", r".\1", path) for name, path in paths.items()}}


def _input(target: dict[str, Any], rule: dict[str, Any], view: Any) -> str:
    """The text that a target gets: its transformed event, its own input, or the event."""
    if target.get("InputTransformer"):
        return eventbridge._apply_input_transformer(target["InputTransformer"], rule, view)
    return target.get("Input") or json.dumps(view.event_with_detail())


def _lists(text: str) -> dict[str, list[str]]:
    """The parameters of a runbook in a target's input. Raises ValueError unless it is an object of lists of strings."""
    given = json.loads(text)
    if not isinstance(given, dict):
        raise ValueError("it is not a JSON object")
    for name, value in given.items():
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError(f"{name} is not a list of strings")
    return given


def _may_send(action: str, arn: str, record: dict[str, Any], rule_arn: str) -> bool:
    """Whether both the policy of a topic or queue and that of its key let a rule send there."""
    policy = record["attributes"].get("Policy")
    return service_may(PRINCIPAL, action, arn, policy, on_behalf_of(rule_arn)) and service_may_send(arn, PRINCIPAL)
