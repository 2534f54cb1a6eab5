"""The CloudFormation resource types ministack lacks, or only records."""

import json
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id
from ministack.services import autoscaling, backup, cloudwatch_logs, ec2, iam, s3, sns
from ministack.services.cloudformation import provisioners

from local_region.api_error import ApiError
from local_region.auto_scaling import AutoScaling
from local_region.documents import Documents
from local_region.instances import Instances
from local_region.volumes import Volumes

# A resource's physical id, and the attributes Fn::GetAtt reads.
Created = tuple[str, dict[str, Any]]


class StackResources:
    """Creates, updates and deletes resources for stacks."""

    def __init__(self, instances: Instances, volumes: Volumes, groups: AutoScaling, documents: Documents) -> None:
        self._instances = instances
        self._volumes = volumes
        self._groups = groups
        self._documents = documents
        self._create_group_by_ministack = provisioners._asg_create
        self._update_group_by_ministack = provisioners._asg_update
        self._delete_group_by_ministack = provisioners._asg_delete
        registered = provisioners._RESOURCE_HANDLERS
        registered["AWS::EC2::Instance"] = {"create": self._create_instance, "delete": self._delete_instance}
        registered["AWS::EC2::Volume"] = {"create": self._create_volume, "delete": self._delete_volume}
        registered["AWS::EC2::VolumeAttachment"] = {
            "create": self._create_attachment,
            "delete": self._delete_attachment,
        }
        registered["AWS::AutoScaling::AutoScalingGroup"] |= {
            "create": self._create_group,
            "update": self._update_group,
            "delete": self._delete_group,
        }
        topics = registered["AWS::SNS::Topic"]
        registered["AWS::SNS::Topic"] = topics | {
            "create": _as_described(topics["create"]),
            "update": _as_described(topics["update"]),
        }
        registered["AWS::SSM::Document"] = {
            "create": self._create_document,
            "update": self._update_document,
            "delete": self._delete_document,
        }
        registered["AWS::IAM::InstanceProfile"] = _by_name(registered["AWS::IAM::InstanceProfile"])
        groups_of_logs = registered["AWS::Logs::LogGroup"]
        registered["AWS::Logs::LogGroup"] = groups_of_logs | {"create": _unless_it_exists(groups_of_logs["create"])}
        registered["AWS::Backup::BackupSelection"] = {"create": _create_selection, "delete": _delete_selection}
        buckets = registered["AWS::S3::Bucket"]
        registered["AWS::S3::Bucket"] = buckets | {
            "create": _with_tags_of_bucket(buckets["create"]),
            "update": _with_tags_of_bucket(buckets["update"]),
        }
        # ministack adds the stack's tags, and CloudFormation's own, to the types named here.
        for resource_type in (
            "AWS::EC2::Instance",
            "AWS::EC2::Volume",
            "AWS::Events::Rule",
            "AWS::S3::Bucket",
            "AWS::SSM::Document",
        ):
            provisioners._STACK_TAG_PROPERTY[resource_type] = ("Tags", "list")

    def _create_instance(self, logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        instance = _or_fail(
            lambda: self._instances.launch(
                _tags(props),
                props.get("ImageId"),
                props.get("InstanceType"),
                props.get("SubnetId"),
                props.get("AvailabilityZone"),
                props.get("SecurityGroupIds"),
                props.get("KeyName"),
                props.get("IamInstanceProfile"),
            )
        )
        return instance["InstanceId"], {
            "AvailabilityZone": instance["Placement"]["AvailabilityZone"],
            "InstanceId": instance["InstanceId"],
            "PrivateDnsName": instance["PrivateDnsName"],
            "PrivateIp": instance["PrivateIpAddress"],
            "PublicDnsName": instance["PublicDnsName"],
            "PublicIp": instance["PublicIpAddress"],
            "VpcId": instance["VpcId"],
        }

    def _delete_instance(self, physical_id: str, _props: dict[str, Any]) -> None:
        self._instances.terminate(physical_id)

    def _create_volume(self, logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        volume_id = _or_fail(
            lambda: self._volumes.create(
                props["AvailabilityZone"],
                _tags(props),
                _number(props, "Size"),
                props.get("SnapshotId"),
                props.get("VolumeType", "gp2"),
                _number(props, "Iops"),
                _number(props, "Throughput"),
                _flag(props, "Encrypted"),
                _flag(props, "MultiAttachEnabled"),
            )
        )
        return volume_id, {"VolumeId": volume_id}

    def _delete_volume(self, physical_id: str, _props: dict[str, Any]) -> None:
        if physical_id in ec2._volumes:
            _or_fail(lambda: self._volumes.delete_detached(physical_id))

    def _create_attachment(self, logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        _or_fail(
            lambda: self._volumes.attach(props["VolumeId"], props["InstanceId"], props.get("Device") or "/dev/sdf")
        )
        return f"{props['VolumeId']}|{props['InstanceId']}", {}

    def _delete_attachment(self, physical_id: str, _props: dict[str, Any]) -> None:
        volume_id, instance_id = physical_id.split("|")
        if ec2._volumes.get(volume_id, {}).get("Attachments"):
            self._volumes.detach(volume_id, instance_id)

    def _create_group(self, logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        created = self._create_group_by_ministack(logical_id, _spread_over_zones(_tagged_at_launch(props)), stack_name)
        _or_fail(lambda: self._groups.reconcile(autoscaling._asgs[created[0]]))
        return created

    def _update_group(
        self,
        physical_id: str,
        old_props: dict[str, Any],
        new_props: dict[str, Any],
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        updated = self._update_group_by_ministack(
            physical_id,
            _tagged_at_launch(old_props),
            _spread_over_zones(_tagged_at_launch(new_props)),
            stack_name,
            logical_id,
        )
        _or_fail(lambda: self._groups.reconcile(autoscaling._asgs[updated[0]]))
        return updated

    def _delete_group(self, physical_id: str, props: dict[str, Any]) -> None:
        if physical_id in autoscaling._asgs:
            self._groups.terminate_all(autoscaling._asgs[physical_id])
        self._delete_group_by_ministack(physical_id, props)

    def _create_document(self, logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        name = props.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=128)
        document_type = props.get("DocumentType", "Command")
        created = _or_fail(
            lambda: self._documents.create(name, props["Content"], document_type, props.get("DocumentFormat", "JSON"))
        )
        self._documents.tag(created, _tags(props))
        return created, {}

    def _update_document(
        self, physical_id: str, old_props: dict[str, Any], new_props: dict[str, Any], stack_name: str
    ) -> Created:
        # Other tags are no new version.
        if _untagged(old_props) != _untagged(new_props):
            _or_fail(
                lambda: self._documents.replace(
                    physical_id, new_props["Content"], new_props.get("DocumentFormat", "JSON")
                )
            )
        self._documents.tag(physical_id, _tags(new_props))
        return physical_id, {}

    def _delete_document(self, physical_id: str, _props: dict[str, Any]) -> None:
        self._documents.delete(physical_id)


def _as_described(act: Callable[..., Created]) -> Callable[..., Created]:
    """A topic with the key its template names, and with the policy AWS gives a topic that has none of its own."""

    def create_or_update(*args: Any) -> Created:
        topic_arn, attributes = act(*args)
        # Create takes (logical id, properties, ...), update (physical id, old properties, new properties, ...).
        properties = args[2] if isinstance(args[2], dict) else args[1]
        topic = sns._topics[topic_arn]["attributes"]
        topic["KmsMasterKeyId"] = properties.get("KmsMasterKeyId") or ""
        policy = json.loads(topic["Policy"])
        if policy.get("Id") == "__default_policy_ID":
            policy["Statement"][0]["Condition"] = {"StringEquals": {"AWS:SourceOwner": get_account_id()}}
            topic["Policy"] = json.dumps(policy)
        return topic_arn, attributes

    return create_or_update


def _with_tags_of_bucket(act: Callable[..., Created]) -> Callable[..., Created]:
    """A bucket with the tags of its template and of its stack, which ministack leaves out."""

    def create_or_update(*args: Any) -> Created:
        bucket, attributes = act(*args)
        # Create takes (logical id, properties, ...), update (physical id, old properties, new properties, ...).
        properties = args[2] if isinstance(args[2], dict) else args[1]
        s3._bucket_tags[bucket] = _tags(properties)
        return bucket, attributes

    return create_or_update


def _create_selection(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
    selection = {"BackupSelection": props["BackupSelection"]}
    status, _, body = backup._create_selection(props["BackupPlanId"], selection)
    answer = json.loads(body)
    if status >= 400:
        raise ValueError(f"{answer['__type']}: {answer['Message']}")
    physical_id = f"{answer['SelectionId']}_{props['BackupPlanId']}"
    return physical_id, {"Id": physical_id, "BackupPlanId": props["BackupPlanId"], "SelectionId": answer["SelectionId"]}


def _delete_selection(physical_id: str, _props: dict[str, Any]) -> None:
    backup._selections.pop(physical_id.partition("_")[0], None)


def _by_name(profiles: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The physical id of an instance profile is its name. That of ministack is its ARN."""

    def named(created: Created) -> Created:
        return created[0].rpartition("/")[2], created[1]

    def arn_of(name: str) -> str:
        return (iam._instance_profiles.get(name) or {}).get("Arn", name)

    def update(name: str, *args: Any, **options: Any) -> Created:
        return named(profiles["update"](arn_of(name), *args, **options))

    return profiles | {
        "create": lambda *args: named(profiles["create"](*args)),
        "update": update,
        "delete": lambda name, props: profiles["delete"](arn_of(name), props),
    }


def _unless_it_exists(create: Callable[..., Created]) -> Callable[..., Created]:
    """A log group with a name that exists, of a deleted stack that kept it for instance, fails the stack."""

    def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Created:
        name = props.get("LogGroupName")
        if name in cloudwatch_logs._log_groups:
            raise ValueError(f"Resource of type 'AWS::Logs::LogGroup' with identifier '{name}' already exists.")
        return create(logical_id, props, stack_name)

    return created


def _or_fail(act: Callable[[], Any]) -> Any:
    """What `act` answers; its refusal becomes the failure of the stack's resource, as ministack expects it."""
    try:
        return act()
    except ApiError as error:
        raise ValueError(str(error)) from error


def _tags(props: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in props.get("Tags") or []}


def _untagged(props: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in props.items() if name != "Tags"}


def _number(props: dict[str, Any], name: str) -> int | None:
    return int(props[name]) if props.get(name) is not None else None


def _flag(props: dict[str, Any], name: str) -> bool:
    return str(props.get(name, False)).lower() == "true"


def _spread_over_zones(props: dict[str, Any]) -> dict[str, Any]:
    """A group without subnets must name zones; ministack would take the Region's first."""
    if not props.get("VPCZoneIdentifier") and not props.get("AvailabilityZones"):
        raise ValueError("ValidationError: At least one Availability Zone or VPC Subnet is required.")
    return props


def _tagged_at_launch(props: dict[str, Any]) -> dict[str, Any]:
    """The stack's tags, and CloudFormation's own, reach a group's instances as well."""
    tags = [
        # Only those of the template say themselves how far they reach.
        tag if "PropagateAtLaunch" in tag and not tag["Key"].startswith("aws:") else tag | {"PropagateAtLaunch": True}
        for tag in props.get("Tags") or []
    ]
    return props | {"Tags": tags}
