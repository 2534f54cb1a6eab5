"""The status checks of EC2 instances."""

from typing import Any

from ministack.services import ec2

from local_region.ec2_filters import Reader, filters_of, fulfils
from local_region.operations import Answer
from local_region.volumes import existing_instance, paged_xml

OK, IMPAIRED, INITIALIZING, NOT_APPLICABLE = "ok", "impaired", "initializing", "not-applicable"
# The detail of a check by its status. A check of an instance that does not run has none.
REACHABILITY = {OK: "passed", IMPAIRED: "failed", INITIALIZING: "initializing"}


def _status(instance: dict[str, Any]) -> str:
    """The status of an instance's own check."""
    return instance.get("Checks", OK) if instance["State"]["Name"] == "running" else NOT_APPLICABLE


def _of_system(instance: dict[str, Any]) -> str:
    """The status of the check of the host, which an impaired guest passes."""
    status = _status(instance)
    return OK if status == IMPAIRED else status


FILTERS: dict[str, Reader] = {
    "availability-zone": lambda i: i["Placement"]["AvailabilityZone"],
    "instance-state-code": lambda i: str(i["State"]["Code"]),
    "instance-state-name": lambda i: i["State"]["Name"],
    "instance-status.reachability": lambda i: REACHABILITY.get(_status(i), ""),
    "instance-status.status": _status,
    "system-status.reachability": lambda i: REACHABILITY.get(_of_system(i), ""),
    "system-status.status": _of_system,
}


def describe_instance_status(params: dict[str, Any]) -> Answer:
    """DescribeInstanceStatus: of instances that run, unless all are asked for."""
    ids, filters = ec2._parse_member_list(params, "InstanceId"), filters_of(params, FILTERS)
    for instance_id in ids:
        existing_instance(instance_id)
    every = ec2._p(params, "IncludeAllInstances") == "true"
    found = [
        _xml(instance)
        for instance in ec2._instances.values()
        if (not ids or instance["InstanceId"] in ids)
        and (every or instance["State"]["Name"] == "running")
        and fulfils(instance["InstanceId"], instance, filters, FILTERS)
    ]
    return paged_xml("DescribeInstanceStatusResponse", "instanceStatusSet", params, found)


def _xml(instance: dict[str, Any]) -> str:
    state = instance["State"]
    return (
        f"<item><instanceId>{instance['InstanceId']}</instanceId>"
        f"<availabilityZone>{instance['Placement']['AvailabilityZone']}</availabilityZone>"
        f"<instanceState><code>{state['Code']}</code><name>{state['Name']}</name></instanceState>"
        f"<systemStatus>{_summary(_of_system(instance))}</systemStatus>"
        f"<instanceStatus>{_summary(_status(instance))}</instanceStatus></item>"
    )


def _summary(status: str) -> str:
    detail = REACHABILITY.get(status)
    details = f"<item><name>reachability</name><status>{detail}</status></item>" if detail else ""
    return f"<status>{status}</status><details>{details}</details>"
