"""Application Recovery Controller: a cluster of routing controls, behind five endpoints with one state."""

import contextvars
import re
import secrets
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import get_account_id, get_region

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import Answer, add_json_operations
from local_region.pages import page, with_next_token

SERVICE = "route53-recovery-cluster"
TARGET = "ToggleCustomerAPI"
STATES = ("On", "Off")
# The path of an endpoint. A call without one is at the endpoint in the Region it is signed for.
PATH = re.compile(r"/_local-region/routing/([1-5])(/|$)")
REGIONS = ("us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2")

_endpoint: contextvars.ContextVar[int] = contextvars.ContextVar("endpoint", default=0)


class RoutingControls:
    """Routing controls by ARN, in control panels by name."""

    def __init__(self, endpoint: str) -> None:
        self._endpoints = [f"{endpoint}/_local-region/routing/{number}/" for number in range(1, 6)]
        self._unavailable: set[int] = set()
        self._panels: dict[str, dict[str, Any]] = {}
        self._controls: dict[str, dict[str, Any]] = {}
        router.SERVICE_PATTERNS[SERVICE] = {"target_prefixes": [TARGET]}
        iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
        app.SERVICE_HANDLERS[SERVICE] = _unknown
        add_json_operations(
            SERVICE,
            {
                "GetRoutingControlState": self._get_state,
                "ListRoutingControls": self._list,
                "UpdateRoutingControlState": self._update_one,
                "UpdateRoutingControlStates": self._update,
            },
        )
        serve = app.SERVICE_HANDLERS[SERVICE]

        async def served(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
            found = PATH.match(path)
            region = get_region()
            _endpoint.set(int(found[1]) if found else REGIONS.index(region) + 1 if region in REGIONS else 0)
            return await serve(method, path, headers, body, query)

        app.SERVICE_HANDLERS[SERVICE] = served

    def make(self, asked: Any) -> dict[str, Any]:
        """Make a control panel, or make it anew, as a tester asks for it."""
        form = '{"controlPanel": "..", "controls": {"..": "On"}, "atLeastOn": 1}'
        if not isinstance(asked, dict) or set(asked) - {"controlPanel", "controls", "atLeastOn"}:
            raise ApiError("BadRequest", f"expected {form}")
        name, controls, least = asked.get("controlPanel"), asked.get("controls"), asked.get("atLeastOn", 0)
        if (
            not isinstance(name, str)
            or not isinstance(controls, dict)
            or not set(controls.values()) <= set(STATES)
            or not isinstance(least, int)
        ):
            raise ApiError("BadRequest", f"expected {form}")
        self._controls = {arn: each for arn, each in self._controls.items() if each["ControlPanelName"] != name}
        arn = f"arn:aws:route53-recovery-control::{get_account_id()}:controlpanel/{secrets.token_hex(16)}"
        self._panels[name] = {
            "name": name,
            "arn": arn,
            "atLeastOn": least,
            "safetyRuleArn": f"{arn}/safetyrule/{secrets.token_hex(8)}",
        }
        for control, state in controls.items():
            control_arn = f"{arn}/routingcontrol/{secrets.token_hex(8)}"
            self._controls[control_arn] = {
                "ControlPanelArn": arn,
                "ControlPanelName": name,
                "RoutingControlArn": control_arn,
                "RoutingControlName": control,
                "RoutingControlState": state,
                "Owner": get_account_id(),
            }
        return self.report()

    def take_away(self, asked: Any) -> dict[str, Any]:
        """Have these endpoints, and no others, be unavailable."""
        numbers = asked.get("unavailable") if isinstance(asked, dict) else None
        if not isinstance(numbers, list) or not all(number in range(1, 6) for number in numbers):
            raise ApiError("BadRequest", 'expected {"unavailable": [1, 5]}: numbers of endpoints')
        self._unavailable = set(numbers)
        return self.report()

    def report(self) -> dict[str, Any]:
        """The endpoints, and the panels with the state of their controls."""
        return {
            "endpoints": [
                {"url": url, "region": region, "available": number not in self._unavailable}
                for number, (url, region) in enumerate(zip(self._endpoints, REGIONS, strict=True), 1)
            ],
            "panels": [
                panel
                | {
                    "controls": {
                        control["RoutingControlName"]: {"arn": arn, "state": control["RoutingControlState"]}
                        for arn, control in self._controls.items()
                        if control["ControlPanelArn"] == panel["arn"]
                    }
                }
                for panel in self._panels.values()
            ],
        }

    def _get_state(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        self._check_available()
        return self._control(params["RoutingControlArn"])

    def _list(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        self._check_available()
        panel = params.get("ControlPanelArn")
        if panel not in (None, *(each["arn"] for each in self._panels.values())):
            raise _not_found(panel, "controlpanel")
        found = [control for control in self._controls.values() if panel in (None, control["ControlPanelArn"])]
        shown, token = page(found, params.get("MaxResults"), params.get("NextToken"), "ValidationException")
        return with_next_token({"RoutingControls": shown}, token)

    def _update_one(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        self._set([params], params)
        return {}

    def _update(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        entries = params["UpdateRoutingControlStateEntries"]
        for entry in entries:
            caller.require(f"{SERVICE}:UpdateRoutingControlStates", entry["RoutingControlArn"])
        self._set(entries, params)
        return {}

    def _set(self, entries: list[dict[str, Any]], params: dict[str, Any]) -> None:
        """Set all of the states, or none."""
        self._check_available()
        wanted = {entry["RoutingControlArn"]: entry["RoutingControlState"] for entry in entries}
        panels = {self._control(arn)["ControlPanelName"] for arn in wanted}
        for panel in (self._panels[name] for name in panels):
            on = [
                arn
                for arn, control in self._controls.items()
                if control["ControlPanelArn"] == panel["arn"]
                and wanted.get(arn, control["RoutingControlState"]) == "On"
            ]
            rule = panel["safetyRuleArn"]
            if len(on) < panel["atLeastOn"] and rule not in (params.get("SafetyRulesToOverride") or []):
                raise ApiError(
                    "ConflictException",
                    f"The safety rule {rule} wants {panel['atLeastOn']} routing controls On",
                    resourceId=rule,
                    resourceType="safetyrule",
                )
        for arn, state in wanted.items():
            self._controls[arn]["RoutingControlState"] = state

    def _check_available(self) -> None:
        if _endpoint.get() in self._unavailable:
            raise ApiError(
                "EndpointTemporarilyUnavailableException",
                "The cluster endpoint isn't available. Try another cluster endpoint.",
            )

    def _control(self, arn: str) -> dict[str, Any]:
        if arn not in self._controls:
            raise _not_found(arn, "routingcontrol")
        return self._controls[arn]


def _not_found(arn: str, kind: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"There is no {kind} {arn}", resourceId=arn, resourceType=kind)


async def _unknown(_method: str, _path: str, _headers: dict, _body: bytes, _query: dict) -> Answer:
    body = b'{"__type": "UnknownOperationException"}'
    return 400, {"Content-Type": "application/x-amz-json-1.0", "x-amzn-errortype": "UnknownOperationException"}, body
