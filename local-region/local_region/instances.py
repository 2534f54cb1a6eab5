"""EC2 instances: where they run, what is attached to them, and how they are found."""

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam

from local_region.api_error import ApiError
from local_region.ec2_filters import Reader, filters_of, fulfils
from local_region.event_bus import EventBus
from local_region.operations import Answer, add_ec2_actions
from local_region.volumes import Volumes, paged_xml, set_tags

# DescribeInstances' filters, without those on tags.
FILTERS: dict[str, Reader] = {
    "architecture": lambda i: i["Architecture"],
    "availability-zone": lambda i: i["Placement"]["AvailabilityZone"],
    "block-device-mapping.device-name": lambda i: [m["DeviceName"] for m in i.get("BlockDeviceMappings", [])],
    "block-device-mapping.status": lambda i: [m["Ebs"]["Status"] for m in i.get("BlockDeviceMappings", [])],
    "block-device-mapping.volume-id": lambda i: [m["Ebs"]["VolumeId"] for m in i.get("BlockDeviceMappings", [])],
    "image-id": lambda i: i["ImageId"],
    "instance-id": lambda i: i["InstanceId"],
    "instance-state-code": lambda i: str(i["State"]["Code"]),
    "instance-state-name": lambda i: i["State"]["Name"],
    "instance-type": lambda i: i["InstanceType"],
    "key-name": lambda i: i.get("KeyName") or "",
    "owner-id": lambda _: get_account_id(),
    "private-ip-address": lambda i: i["PrivateIpAddress"],
    "subnet-id": lambda i: i["SubnetId"],
    "vpc-id": lambda i: i["VpcId"],
}


class Instances:
    """The Region's instances. They are records only: nothing boots."""

    def __init__(self, volumes: Volumes, events: EventBus) -> None:
        self._volumes = volumes
        self._events = events
        self._run_by_ministack = ec2._run_instances
        self._terminate_by_ministack = ec2._terminate_instances
        self._launch_by_ministack = ec2._launch_instances_internal
        ec2._launch_instances_internal = self._launch_in_zone
        add_ec2_actions(
            {
                "DescribeInstances": self._describe_instances,
                "RunInstances": self._run_instances,
                "StartInstances": self._announcing(ec2._start_instances, "running"),
                "StopInstances": self._announcing(ec2._stop_instances, "stopped"),
                "TerminateInstances": self._announcing(self._terminate_instances, "terminated"),
            }
        )

    def launch(
        self,
        tags: dict[str, str],
        image_id: str | None = None,
        instance_type: str | None = None,
        subnet_id: str | None = None,
        zone: str | None = None,
        security_group_ids: list[str] | None = None,
        key_name: str | None = None,
        profile: str | None = None,
    ) -> dict[str, Any]:
        """Launch one instance, in `subnet_id`, else in the default subnet of `zone`; answers ministack's record."""
        instance = ec2._launch_instances_internal(
            image_id=image_id or "ami-00000000000000000",
            instance_type=instance_type or "t3.micro",
            subnet_id=subnet_id or default_subnet(zone),
            count=1,
            key_name=key_name or "",
            sg_ids=security_group_ids or None,
            iam_profile=_profile(profile) if profile else None,
        )[0]
        set_tags(instance["InstanceId"], tags)
        return instance

    def terminate(self, instance_id: str) -> None:
        """Terminate an instance if there is one: its root volume goes, other volumes are detached."""
        if instance_id in ec2._instances:
            ec2._ACTION_MAP["TerminateInstances"]({"InstanceId.1": instance_id})

    def _launch_in_zone(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
        """Ministack puts every instance into zone `a`; a subnet decides its zone in AWS."""
        instances = self._launch_by_ministack(*args, **options)
        for instance in instances:
            subnet = ec2._subnets.get(instance["SubnetId"])
            if subnet is None:
                raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{instance['SubnetId']}' does not exist")
            instance["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
            for mapping in instance["BlockDeviceMappings"]:
                ec2._volumes[mapping["Ebs"]["VolumeId"]]["AvailabilityZone"] = subnet["AvailabilityZone"]
            self._announce(instance["InstanceId"], "pending")
            self._announce(instance["InstanceId"], "running")
        return instances

    def _run_instances(self, params: dict[str, Any]) -> Answer:
        zone = ec2._p(params, "Placement.AvailabilityZone")
        if zone and not ec2._p(params, "SubnetId"):
            params = params | {"SubnetId": [default_subnet(zone)]}
        return self._run_by_ministack(params)

    def _terminate_instances(self, params: dict[str, Any]) -> Answer:
        answer = self._terminate_by_ministack(params)
        for instance_id in ec2._parse_member_list(params, "InstanceId") if answer[0] == 200 else ():
            for mapping in list(ec2._instances[instance_id].get("BlockDeviceMappings", [])):
                self._volumes.detach(mapping["Ebs"]["VolumeId"], instance_id)
                if mapping["Ebs"]["DeleteOnTermination"]:
                    self._volumes.delete(mapping["Ebs"]["VolumeId"])
        return answer

    def _announcing(self, action: Callable[[dict[str, Any]], Answer], state: str) -> Callable[[dict[str, Any]], Answer]:
        def handle(params: dict[str, Any]) -> Answer:
            answer = action(params)
            for instance_id in ec2._parse_member_list(params, "InstanceId") if answer[0] == 200 else ():
                self._announce(instance_id, state)
            return answer

        return handle

    def _announce(self, instance_id: str, state: str) -> None:
        self._events.publish(
            "aws.ec2",
            "EC2 Instance State-change Notification",
            {"instance-id": instance_id, "state": state},
            [f"arn:aws:ec2:{get_region()}:{get_account_id()}:instance/{instance_id}"],
        )

    def _describe_instances(self, params: dict[str, Any]) -> Answer:
        ids, filters = ec2._parse_member_list(params, "InstanceId"), filters_of(params, FILTERS)
        if ids and ec2._p(params, "MaxResults"):
            raise ApiError(
                "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"
            )
        for instance_id in ids:
            if not ec2._INSTANCE_ID_RE.match(instance_id):
                raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
            if instance_id not in ec2._instances:
                raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        found = [
            instance
            for instance in ec2._instances.values()
            if (not ids or instance["InstanceId"] in ids)
            and fulfils(instance["InstanceId"], instance, filters, FILTERS)
        ]
        return paged_xml("DescribeInstancesResponse", "reservationSet", params, [_reservation_xml(i) for i in found])


def _profile(name: str) -> dict[str, str]:
    """An instance profile as an instance shows it."""
    profile = iam._instance_profiles.get(name)
    if profile is None:
        raise ApiError(
            "InvalidParameterValue",
            f"Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        )
    return {"Arn": profile["Arn"], "Id": profile["InstanceProfileId"]}


def default_subnet(zone: str | None) -> str:
    """The default subnet of an Availability Zone; of the first zone when none is named."""
    zone = zone or f"{get_region()}a"
    for subnet_id, subnet in ec2._subnets.items():
        if subnet["AvailabilityZone"] == zone and subnet.get("DefaultForAz"):
            return subnet_id
    raise ApiError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")


def propagated_tags(group_tags: list[dict[str, Any]]) -> dict[str, str]:
    """The tags an Auto Scaling group gives its instances."""
    return {tag["Key"]: tag["Value"] for tag in group_tags if tag.get("PropagateAtLaunch")}


def _reservation_xml(instance: dict[str, Any]) -> str:
    return (
        f"<item><reservationId>r-{instance['InstanceId'][2:]}</reservationId><ownerId>{get_account_id()}</ownerId>"
        f"<groupSet/><instancesSet>{ec2._instance_xml(instance)}</instancesSet></item>"
    )
