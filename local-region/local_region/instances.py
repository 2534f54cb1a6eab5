"""EC2 instances: where they run, what is attached to them, and how they are found."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import ec2, iam

from local_region.api_error import ApiError
from local_region.ec2_filters import Reader, filters_of, fulfils
from local_region.event_bus import EventBus
from local_region.instance_status import IMPAIRED, OK, describe_instance_status
from local_region.operations import Answer, add_ec2_actions
from local_region.pending_work import PendingWork
from local_region.settings import Settings
from local_region.volumes import Volumes, existing_instance, paged_xml, set_tags

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
# Launch failures that a tester can request for an instance type in an Availability Zone: code and message of EC2.
TROUBLES = {
    "insufficient-capacity": (
        "InsufficientInstanceCapacity",
        "We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}). Our "
        "system will be working on provisioning additional capacity.",
    ),
    "unsupported": (
        "Unsupported",
        "Your requested instance type ({type}) is not supported in your requested Availability Zone ({zone}). Please "
        "retry your request by choosing another Availability Zone.",
    ),
}
INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
RUNNING = {"Code": 16, "Name": "running"}


class Instances:
    """The Region's instances. They are records only: nothing boots."""

    def __init__(self, settings: Settings, pending: PendingWork, volumes: Volumes, events: EventBus) -> None:
        self._settings = settings
        self._pending = pending
        self._volumes = volumes
        self._events = events
        self._run_by_ministack = ec2._run_instances
        self._terminate_by_ministack = ec2._terminate_instances
        self._launch_by_ministack = ec2._launch_instances_internal
        self._attribute_by_ministack = ec2._ACTION_MAP["DescribeInstanceAttribute"]
        # By instance type and zone, `*` for any.
        self._troubles: dict[tuple[str, str], str] = {}
        ec2._launch_instances_internal = self._launch_in_zone
        add_ec2_actions(
            {
                "DescribeInstanceAttribute": self._describe_attribute,
                "DescribeInstanceStatus": describe_instance_status,
                "DescribeInstances": self._describe_instances,
                "ModifyInstanceAttribute": _modify_attribute,
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
            iam_profile=profile_of(profile) if profile else None,
        )[0]
        set_tags(instance["InstanceId"], tags)
        return instance

    def terminate(self, instance_id: str, protected: bool = False) -> None:
        """Terminate an instance if there is one: its root volume goes, other volumes are detached.

        With `protected`, also one whose termination through the API is disabled.
        """
        if instance_id in ec2._instances:
            if protected:
                ec2._instances[instance_id]["DisableApiTermination"] = False
            ec2._ACTION_MAP["TerminateInstances"]({"InstanceId.1": instance_id})

    def launch_restored(
        self, image: dict[str, Any], launch: dict[str, Any], mappings: list[dict[str, Any]], end: str | None
    ) -> dict[str, Any]:
        """Launch one instance with the volumes of an image; it is `pending`, and runs after a time.

        `launch` has the parameters of ministack's launch, `mappings` each device with the arguments of its volume. The
        state of the instance becomes `end`, `impaired` or `terminated`, if a tester said so.
        """
        (instance,) = self._launch(image_id=image["ImageId"], count=1, **launch)
        zone, instance_id = instance["Placement"]["AvailabilityZone"], instance["InstanceId"]
        for mapping in instance["BlockDeviceMappings"]:
            self._volumes.delete(mapping["Ebs"]["VolumeId"])
        instance["BlockDeviceMappings"] = []
        for mapping in mappings:
            volume_id = self._volumes.create(zone, **mapping["Volume"])
            self._volumes.attach_at_launch(volume_id, instance, mapping["DeviceName"], mapping["DeleteOnTermination"])
        instance |= {
            "Architecture": image["Architecture"],
            "RootDeviceName": image["RootDeviceName"],
            "State": {"Code": 0, "Name": "pending"},
            "Checks": "initializing",
        }
        self._announce(instance_id, "pending")
        self._pending.start("instance", self._boot(instance, end))
        return instance

    def let_have(self, instance_type: str, zone: str, trouble: str | None) -> dict[str, str]:
        """Let launches of an instance type in a zone have one of `TROUBLES`, or none; answers all there are."""
        self._troubles.pop((instance_type, zone), None)
        if trouble:
            self._troubles[(instance_type, zone)] = trouble
        return {" ".join(about): each for about, each in self._troubles.items()}

    def check_type(self, instance_type: str, zone: str) -> None:
        """Refuse an instance type that a zone does not have, or has no more of."""
        if not INSTANCE_TYPE.fullmatch(instance_type):
            raise ApiError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
        for about in ((instance_type, zone), (instance_type, "*"), ("*", zone)):
            if about in self._troubles:
                code, message = TROUBLES[self._troubles[about]]
                raise ApiError(code, message.format(type=instance_type, zone=zone))

    async def _boot(self, instance: dict[str, Any], end: str | None) -> None:
        await asyncio.sleep(self._settings.instance_seconds)
        if end == "terminated":
            # As when EC2 cannot use the key of a volume: the launch was accepted, and nothing runs.
            instance["StateReason"] = ("Client.InternalError", "Client.InternalError: Client error on launch")
            self.terminate(instance["InstanceId"], protected=True)
            return
        if instance["State"]["Name"] != "pending":
            return
        instance["State"] = dict(RUNNING)
        self._announce(instance["InstanceId"], "running")
        await asyncio.sleep(self._settings.instance_check_seconds)
        instance["Checks"] = IMPAIRED if end == IMPAIRED else OK

    def _launch_in_zone(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
        """Launch instances that run at once."""
        instances = self._launch(*args, **options)
        for instance in instances:
            self._announce(instance["InstanceId"], "pending")
            self._announce(instance["InstanceId"], "running")
        return instances

    def _launch(self, *args: Any, **options: Any) -> list[dict[str, Any]]:
        """Ministack puts every instance into zone `a`; a subnet decides its zone in AWS."""
        if "subnet_id" in options and options["subnet_id"] in ec2._subnets:
            self.check_type(options["instance_type"], ec2._subnets[options["subnet_id"]]["AvailabilityZone"])
        instances = self._launch_by_ministack(*args, **options)
        for instance in instances:
            subnet = ec2._subnets.get(instance["SubnetId"])
            if subnet is None:
                raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{instance['SubnetId']}' does not exist")
            instance["Placement"]["AvailabilityZone"] = subnet["AvailabilityZone"]
            for mapping in instance["BlockDeviceMappings"]:
                ec2._volumes[mapping["Ebs"]["VolumeId"]]["AvailabilityZone"] = subnet["AvailabilityZone"]
        return instances

    def _run_instances(self, params: dict[str, Any]) -> Answer:
        zone = ec2._p(params, "Placement.AvailabilityZone")
        if zone and not ec2._p(params, "SubnetId"):
            params = params | {"SubnetId": [default_subnet(zone)]}
        answer = self._run_by_ministack(params)
        if ec2._p(params, "DisableApiTermination") == "true" and answer[0] == 200:
            for instance_id in re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", answer[2]):
                ec2._instances[instance_id.decode()]["DisableApiTermination"] = True
        return answer

    def _terminate_instances(self, params: dict[str, Any]) -> Answer:
        for instance_id in ec2._parse_member_list(params, "InstanceId"):
            if ec2._instances.get(instance_id, {}).get("DisableApiTermination"):
                raise ApiError(
                    "OperationNotPermitted",
                    f"The instance '{instance_id}' may not be terminated. Modify its 'disableApiTermination' instance "
                    "attribute and try again.",
                )
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

    def _describe_attribute(self, params: dict[str, Any]) -> Answer:
        instance, attribute = existing_instance(ec2._p(params, "InstanceId")), ec2._p(params, "Attribute")
        if attribute == "userData":
            value = f"<value>{instance['UserData']}</value>" if instance["UserData"] else ""
        elif attribute == "disableApiTermination":
            value = f"<value>{str(bool(instance.get('DisableApiTermination'))).lower()}</value>"
        else:
            return self._attribute_by_ministack(params)
        body = f"<instanceId>{instance['InstanceId']}</instanceId><{attribute}>{value}</{attribute}>"
        return ec2._xml(200, "DescribeInstanceAttributeResponse", body)

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


def _modify_attribute(params: dict[str, Any]) -> Answer:
    instance = existing_instance(ec2._p(params, "InstanceId"))
    if not ec2._p(params, "DisableApiTermination.Value"):
        raise ApiError("InvalidParameterCombination", "The local Region modifies disableApiTermination only")
    instance["DisableApiTermination"] = ec2._p(params, "DisableApiTermination.Value") == "true"
    return ec2._xml(200, "ModifyInstanceAttributeResponse", "<return>true</return>")


def profile_of(name: str) -> dict[str, str]:
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
    ec2._ensure_defaults_initialized()
    zone = zone or f"{get_region()}a"
    for subnet_id, subnet in ec2._subnets.items():
        if subnet["AvailabilityZone"] == zone and subnet.get("DefaultForAz"):
            return subnet_id
    raise ApiError("InvalidParameterValue", f"Invalid availability zone: [{zone}]")


def propagated_tags(group_tags: list[dict[str, Any]]) -> dict[str, str]:
    """The tags an Auto Scaling group gives its instances."""
    return {tag["Key"]: tag["Value"] for tag in group_tags if tag.get("PropagateAtLaunch")}


def _reservation_xml(instance: dict[str, Any]) -> str:
    own = ec2._instance_xml(instance).rpartition("</item>")[0] + _further_xml(instance)
    return (
        f"<item><reservationId>r-{instance['InstanceId'][2:]}</reservationId><ownerId>{get_account_id()}</ownerId>"
        f"<groupSet/><instancesSet>{own}</item></instancesSet></item>"
    )


def _further_xml(instance: dict[str, Any]) -> str:
    """What ministack leaves out of an instance."""
    shown = ""
    if "HttpTokens" in instance:
        options = {"state": "applied", "httpTokens": instance["HttpTokens"], "httpEndpoint": "enabled"}
        texts = "".join(f"<{name}>{value}</{name}>" for name, value in options.items())
        shown += f"<metadataOptions>{texts}</metadataOptions>"
    if "StateReason" in instance:
        code, message = instance["StateReason"]
        shown += f"<stateReason><code>{code}</code><message>{message}</message></stateReason>"
    return shown
