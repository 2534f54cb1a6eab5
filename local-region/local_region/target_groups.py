"""Target groups of Elastic Load Balancing: which targets they have, and how those are."""

import asyncio
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core.responses import get_region
from ministack.services import alb, ec2, tagging
from ministack.services.cloudformation import provisioners

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.operations import Answer
from local_region.pending_work import PendingWork
from local_region.query_operations import add_query_operations, fault
from local_region.settings import Settings
from local_region.status_changes import StatusChanges

SERVICE = "elasticloadbalancing"
TYPE = "AWS::ElasticLoadBalancingV2::TargetGroup"
# A resource's physical id, and the attributes Fn::GetAtt reads.
Created = tuple[str, dict[str, Any]]
# What a target is in, with the reason and the words that Elastic Load Balancing gives.
INITIAL = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
UNHEALTHY = ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
NOT_IN_USE = ("unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer")
ZONE_NOT_ENABLED = (
    "unused",
    "Target.NotInUse",
    "Target is in an Availability Zone that is not enabled for the load balancer",
)


class TargetGroups:
    """Registers targets, whose health checks take a time, and lets some fail as a tester asks."""

    def __init__(self, settings: Settings, pending: PendingWork, changes: StatusChanges) -> None:
        self._settings = settings
        self._pending = pending
        self._changes = changes
        add_query_operations(
            SERVICE,
            {
                "DeregisterTargets": self._deregister,
                "DescribeTargetHealth": self._describe_health,
                "RegisterTargets": self._register,
            },
        )
        tagging._COLLECTORS[SERVICE] = _collect
        alb._ACTION_MAP["DescribeTargetGroups"] = _existing(alb._ACTION_MAP["DescribeTargetGroups"])
        handlers = provisioners._RESOURCE_HANDLERS[TYPE]
        provisioners._RESOURCE_HANDLERS[TYPE] = handlers | {"create": self._with_targets(handlers["create"])}

    def _register(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        self._add(_group(params["TargetGroupArn"]), params["Targets"])
        return {}

    def _add(self, group: dict[str, Any], given: list[dict[str, Any]]) -> None:
        _check(group, [each["Id"] for each in given])
        targets = alb._targets.setdefault(group["TargetGroupArn"], [])
        for each in given:
            known = _find(group, targets, each)
            if known is not None and known.get("State") != "draining":
                continue
            if known is not None:
                targets.remove(known)
            new = {"Id": each["Id"], "Port": _port(group, each), "State": "initial"}
            targets.append(new)
            self._pending.start("target", self._end_registration(new))

    async def _end_registration(self, target: dict[str, Any]) -> None:
        await asyncio.sleep(self._settings.target_seconds)
        if target["State"] == "initial":
            target["State"] = "checked"

    def _deregister(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        group = _group(params["TargetGroupArn"])
        targets = alb._targets.setdefault(group["TargetGroupArn"], [])
        for each in params["Targets"]:
            # One that is not registered is no error.
            target = _find(group, targets, each)
            if target is not None and target.get("State") != "draining":
                target["State"] = "draining"
                self._pending.start("target", self._end_deregistration(targets, target))
        return {}

    async def _end_deregistration(self, targets: list[dict[str, Any]], target: dict[str, Any]) -> None:
        await asyncio.sleep(self._settings.target_seconds)
        # It may have been registered again, as another one.
        targets[:] = [each for each in targets if each is not target]

    def _describe_health(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        group = _group(params["TargetGroupArn"])
        # A terminated instance is deregistered without anybody's call.
        targets = [each for each in alb._targets.get(group["TargetGroupArn"], []) if _state_of(each) != "terminated"]
        described = []
        for each in params.get("Targets") or targets:
            target = _find(group, targets, each)
            described.append(_described(group, each, self._health_of(group, target) if target else NOT_REGISTERED))
        return {"TargetHealthDescriptions": described}

    def _health_of(self, group: dict[str, Any], target: dict[str, Any]) -> tuple[str, str, str] | None:
        """Why a target does not get requests; None of one that is healthy."""
        if target.get("State") == "draining":
            return DRAINING
        state = _state_of(target)
        if state not in (None, "running"):
            return "unused", "Target.InvalidState", f"Target is in the {state} state"
        if not group["LoadBalancerArns"]:
            return NOT_IN_USE
        zone = ec2._instances.get(target["Id"], {}).get("Placement", {}).get("AvailabilityZone")
        if zone and zone not in _zones_of(group):
            return ZONE_NOT_ENABLED
        if target.get("State") == "initial":
            return INITIAL
        end = self._changes.end_of(group["TargetGroupName"])
        return {"initial": INITIAL, "unhealthy": UNHEALTHY}.get(end or "")

    def _with_targets(self, create: Callable[..., Created]) -> Callable[..., Created]:
        """A target group of a stack with the targets of its template."""

        def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
            arn, attributes = create(logical_id, props, stack_name)
            given = [
                {"Id": each["Id"], "Port": int(each.get("Port") or alb._tgs[arn]["Port"])}
                for each in props.get("Targets") or []
            ]
            try:
                self._add(_group(arn), given)
            except ApiError as error:
                raise ValueError(str(error)) from error
            return arn, attributes

        return created


def _collect() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The resources of this Region that have tags, as GetResources of the tagging API lists them."""
    for arn, tags in alb._tags.items():
        if tags and arn.split(":")[3] == get_region():
            yield arn, tags


def tags_of(arn: str) -> dict[str, str] | None:
    """The tags of a resource of Elastic Load Balancing; None if it does not exist."""
    tags = alb._tags.get(arn)
    return None if tags is None else {tag["Key"]: tag["Value"] for tag in tags}


def resource_of(operation: str, params: dict[str, Any], otherwise: str) -> str:
    """The resource that a call is authorized on. Describe actions know none; of several to tag, the first counts."""
    if operation.startswith("Describe"):
        return "*"
    if operation in ("AddTags", "RemoveTags"):
        return next(iter(alb._parse_member_list(params, "ResourceArns")), "*")
    return otherwise


def _existing(describe: Callable[[dict[str, Any]], Answer]) -> Callable[[dict[str, Any]], Answer]:
    """Refuse names and ARNs of target groups that do not exist, of which ministack shows the others."""

    def described(params: dict[str, Any]) -> Answer:
        try:
            for arn in alb._parse_member_list(params, "TargetGroupArns"):
                _check_arn(arn)
        except ApiError as error:
            return alb._error(error.code, error.message)
        names = {group["TargetGroupName"] for group in alb._tgs.values()}
        for prefix, known in (("Names", names), ("TargetGroupArns", set(alb._tgs))):
            if not set(alb._parse_member_list(params, prefix)) <= known:
                return alb._error("TargetGroupNotFound", "One or more target groups not found")
        return describe(params)

    return described


def _check_arn(arn: str) -> None:
    if not re.fullmatch(r"arn:[^:]+:elasticloadbalancing:[^:]+:\d+:targetgroup/[^/]+/[^/]+", arn):
        raise ApiError("ValidationError", f"'{arn}' is not a valid target group ARN")


def _group(arn: str) -> dict[str, Any]:
    _check_arn(arn)
    group = alb._tgs.get(arn)
    if group is None:
        raise fault(SERVICE, "TargetGroupNotFoundException", f"Target group '{arn}' not found")
    return group


def _port(group: dict[str, Any], target: dict[str, Any]) -> int:
    return target.get("Port") or group["Port"]


def _find(group: dict[str, Any], targets: list[dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any] | None:
    """A registered target: its port counts, too."""
    key = (wanted["Id"], _port(group, wanted))
    return next((each for each in targets if (each["Id"], _port(group, each)) == key), None)


def _check(group: dict[str, Any], ids: list[str]) -> None:
    """Refuse targets that a group cannot have."""
    if group["TargetType"] == "ip":
        for each in ids:
            try:
                ipaddress.ip_address(each)
            except ValueError as error:
                raise _invalid(f"The IP address '{each}' is not a valid IP address") from error
    if group["TargetType"] != "instance":
        return
    for each in ids:
        if each not in ec2._instances:
            raise _invalid(f"Instance ID '{each}' is not valid")
    stopped = [each for each in ids if ec2._instances[each]["State"]["Name"] != "running"]
    if stopped:
        raise _invalid(f"The following targets are not in a running state and cannot be registered: {_quoted(stopped)}")
    foreign = [each for each in ids if ec2._instances[each]["VpcId"] != group["VpcId"]]
    if foreign:
        raise _invalid(f"The following targets are not in the target group VPC '{group['VpcId']}': {_quoted(foreign)}")


def _state_of(target: dict[str, Any]) -> str | None:
    """The state of the instance that is a target; None of any other target."""
    return ec2._instances.get(target["Id"], {}).get("State", {}).get("Name")


def _zones_of(group: dict[str, Any]) -> set[str]:
    """The zones that the load balancers of a group serve."""
    subnets = [each for arn in group["LoadBalancerArns"] for each in alb._lbs.get(arn, {}).get("Subnets", [])]
    return {ec2._subnets[each]["AvailabilityZone"] for each in subnets if each in ec2._subnets}


def _described(group: dict[str, Any], target: dict[str, Any], why: tuple[str, str, str] | None) -> dict[str, Any]:
    state, reason, description = why or ("healthy", None, None)
    port = group["HealthCheckPort"]
    return {
        "Target": {"Id": target["Id"], "Port": _port(group, target)},
        "HealthCheckPort": str(_port(group, target)) if port == "traffic-port" else port,
        "TargetHealth": {"State": state, "Reason": reason, "Description": description},
    }


def _quoted(ids: list[str]) -> str:
    return ", ".join(f"'{each}'" for each in ids)


def _invalid(message: str) -> ApiError:
    return fault(SERVICE, "InvalidTargetException", message)
