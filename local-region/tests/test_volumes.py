"""Volumes and instances: EC2's checks, states, filters and pages."""

import uuid
from functools import partial
from typing import Any

import pytest
from running_region import ACCOUNT, REGION, RunningRegion, received, refusal, subscribe

ZONE_A, ZONE_B = f"{REGION}a", f"{REGION}b"


def make_volume(region: RunningRegion, zone: str = ZONE_A, **params: Any) -> str:
    """Create a volume. Returns its id."""
    return region.client("ec2").create_volume(AvailabilityZone=zone, **{"Size": 1} | params)["VolumeId"]


def make_instance(region: RunningRegion, zone: str = ZONE_A, **params: Any) -> str:
    """Launch an instance. Returns its id."""
    run = region.client("ec2").run_instances(
        ImageId="ami-0123456789abcdef0",
        MinCount=1,
        MaxCount=1,
        Placement={"AvailabilityZone": zone},
        **params,
    )
    return run["Instances"][0]["InstanceId"]


def attach(
    region: RunningRegion, volume_id: str, instance_id: str, device: str = "/dev/sdf", **params: Any
) -> dict[str, Any]:
    """Attach a volume. Returns the response."""
    return region.client("ec2").attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device, **params)


def describe(region: RunningRegion, instance_id: str) -> dict[str, Any]:
    """The instance, as DescribeInstances returns it."""
    return region.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


def test_attachment_is_attaching_then_attached(region: RunningRegion) -> None:
    volume_id, instance_id = make_volume(region), make_instance(region)
    answer = attach(region, volume_id, instance_id)
    assert answer["State"] == "attaching" and answer["Device"] == "/dev/sdf" and not answer["DeleteOnTermination"]
    region.wait_until_idle()
    volume = region.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    assert volume["State"] == "in-use"
    assert [(a["InstanceId"], a["State"]) for a in volume["Attachments"]] == [(instance_id, "attached")]
    mappings = {m["DeviceName"]: m["Ebs"] for m in describe(region, instance_id)["BlockDeviceMappings"]}
    assert mappings["/dev/sdf"]["VolumeId"] == volume_id and mappings["/dev/sdf"]["Status"] == "attached"
    assert region.journal("volume-attached", volumeId=volume_id, instanceId=instance_id, device="/dev/sdf")


def test_rejects_an_attachment_across_zones(region: RunningRegion) -> None:
    volume_id, instance_id = make_volume(region, ZONE_B), make_instance(region, ZONE_A)
    assert refusal(lambda: attach(region, volume_id, instance_id)) == (
        "InvalidVolume.ZoneMismatch",
        f"The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'",
    )


def test_rejects_an_attached_volume(region: RunningRegion) -> None:
    volume_id, instance_id = make_volume(region), make_instance(region)
    attach(region, volume_id, instance_id)
    for target in (instance_id, make_instance(region)):
        assert refusal(partial(attach, region, volume_id, target, "/dev/sdg")) == (
            "VolumeInUse",
            f"{volume_id} is already attached to an instance",
        )


def test_rejects_a_device_name_in_use(region: RunningRegion) -> None:
    instance_id = make_instance(region)
    attach(region, make_volume(region), instance_id)
    assert refusal(lambda: attach(region, make_volume(region), instance_id)) == (
        "InvalidParameterValue",
        "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use",
    )


def test_detaching_frees_the_device_name(region: RunningRegion) -> None:
    volume_id, instance_id = make_volume(region), make_instance(region)
    attach(region, volume_id, instance_id)
    assert region.client("ec2").detach_volume(VolumeId=volume_id)["State"] == "detaching"
    assert attach(region, volume_id, instance_id)["State"] == "attaching"


@pytest.mark.parametrize("device", ["sdf", "/dev/xvdba", "/dev/xvddz", "/dev/sdp", "/dev/sdf15", "/dev/hdf", "xvdf"])
def test_accepts_valid_device_names(region: RunningRegion, device: str) -> None:
    assert attach(region, make_volume(region), make_instance(region), device)["Device"] == device


@pytest.mark.parametrize(
    "device", ["/dev/nvme1n1", "/dev/foo", "sd1", "/dev/xvdzz", "/dev/xvdf1", "/dev/sdf16", "/dev/sdf0", "D:"]
)
def test_rejects_invalid_device_names(region: RunningRegion, device: str) -> None:
    code, message = refusal(lambda: attach(region, make_volume(region), make_instance(region), device))
    assert code == "InvalidParameterValue" and message.endswith(f"{device} is not a valid EBS device name.")


def volume_of(region: RunningRegion, volume_id: str) -> dict[str, Any]:
    """The volume, as DescribeVolumes returns it."""
    return region.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"][0]


def test_rejects_a_volume_under_modification() -> None:
    region = RunningRegion("--modify-seconds", "1")
    ec2 = region.client("ec2")
    volume_id, instance_id = make_volume(region), make_instance(region)
    assert ec2.modify_volume(VolumeId=volume_id, Size=2)["VolumeModification"]["ModificationState"] == "modifying"
    (modification,) = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
    assert modification["ModificationState"] == "modifying"
    assert refusal(lambda: attach(region, volume_id, instance_id)) == (
        "OperationNotPermitted",
        f"Cannot attach volume {volume_id} when it is in modification state: MODIFYING",
    )
    region.wait_until_idle()
    (modification,) = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
    assert modification["ModificationState"] == "completed"
    assert attach(region, volume_id, instance_id)["State"] == "attaching"
    assert region.stop() == 0


def test_volume_with_a_product_code_needs_a_stopped_instance(region: RunningRegion) -> None:
    volume_id, instance_id = make_volume(region), make_instance(region)
    status, answer = region.post("volume-troubles", {"resourceId": volume_id, "trouble": "product-code"})
    assert status == 200 and answer["troubles"][volume_id] == "product-code"
    assert refusal(lambda: attach(region, volume_id, instance_id)) == (
        "IncorrectInstanceState",
        f"Cannot attach volume '{volume_id}' with Marketplace codes as the instance '{instance_id}' is not in the "
        "'stopped' state.",
    )
    region.client("ec2").stop_instances(InstanceIds=[instance_id])
    assert attach(region, volume_id, instance_id)["State"] == "attaching"


def test_stuck_attachment_stays_attaching(region: RunningRegion) -> None:
    volume_id, instance_id = make_volume(region), make_instance(region)
    region.post("volume-troubles", {"resourceId": volume_id, "trouble": "stuck"})
    attach(region, volume_id, instance_id)
    region.wait_until_idle()
    assert [each["State"] for each in volume_of(region, volume_id)["Attachments"]] == ["attaching"]


@pytest.mark.parametrize("body", [[], {}, {"resourceId": "vol-1"}, {"resourceId": "vol-1", "trouble": "x"}])
def test_rejects_an_invalid_trouble(region: RunningRegion, body: Any) -> None:
    assert region.post("volume-troubles", body)[0] == 400


def test_rejects_a_volume_whose_key_is_disabled(region: RunningRegion) -> None:
    kms = region.client("kms")
    key = kms.create_key()["KeyMetadata"]
    volume_id, instance_id = make_volume(region, KmsKeyId=key["KeyId"], Encrypted=True), make_instance(region)
    assert volume_of(region, volume_id)["KmsKeyId"] == key["Arn"]
    for unusable in (kms.disable_key, kms.schedule_key_deletion):
        unusable(KeyId=key["KeyId"])
        assert refusal(lambda: attach(region, volume_id, instance_id)) == (
            "CustomerKeyHasBeenRevoked",
            f"Volume {volume_id} cannot be attached. The encrypted volume was unable to access the KMS key.",
        )


def test_drops_an_attachment_whose_key_is_disabled_meanwhile() -> None:
    region = RunningRegion("--attach-seconds", "1")
    queue = subscribe(region, "dropped", {"source": ["aws.ec2"], "detail": {"event": ["attachVolume"]}})
    key = region.client("kms").create_key()["KeyMetadata"]
    volume_id, instance_id = make_volume(region, KmsKeyId=key["KeyId"], Encrypted=True), make_instance(region)
    attach(region, volume_id, instance_id)
    region.client("kms").disable_key(KeyId=key["KeyId"])
    region.wait_until_idle()
    volume = volume_of(region, volume_id)
    assert volume["State"] == "available" and not volume.get("Attachments")
    (event,) = received(region, queue)
    assert event["detail"]["result"] == "failed" and event["detail"]["cause"] == f"{key['Arn']} is disabled."
    assert region.stop() == 0


def test_attaches_to_stopped_but_not_to_terminated_instances(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    stopped, terminated = make_instance(region), make_instance(region)
    ec2.stop_instances(InstanceIds=[stopped])
    ec2.terminate_instances(InstanceIds=[terminated])
    assert attach(region, make_volume(region), stopped)["State"] == "attaching"
    assert refusal(lambda: attach(region, make_volume(region), terminated)) == (
        "IncorrectState",
        f"Instance '{terminated}' is not 'running'.",
    )


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"VolumeId": "vol-0123456789abcdef0"}, "InvalidVolume.NotFound"),
        ({"VolumeId": "data"}, "InvalidParameterValue"),
        ({"InstanceId": "i-0123456789abcdef0"}, "InvalidInstanceID.NotFound"),
        ({"InstanceId": "web"}, "InvalidInstanceID.Malformed"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_attach_volume_rejects_invalid_requests(region: RunningRegion, params: dict[str, Any], code: str) -> None:
    request = {"VolumeId": make_volume(region), "InstanceId": make_instance(region), "Device": "/dev/sdf"} | params
    assert refusal(lambda: region.client("ec2").attach_volume(**request))[0] == code


def test_limits_the_volumes_of_an_instance(region: RunningRegion) -> None:
    instance_id = make_instance(region)
    for letter in "bcdefghijklmnopqrstuvwxyz":
        attach(region, make_volume(region), instance_id, f"/dev/sd{letter}")
    attach(region, make_volume(region), instance_id, "/dev/xvdba")
    assert (
        refusal(lambda: attach(region, make_volume(region), instance_id, "/dev/xvdbb"))[0] == "AttachmentLimitExceeded"
    )


def test_attaches_a_multi_attach_volume_to_several_instances(region: RunningRegion) -> None:
    volume_id = make_volume(region, VolumeType="io2", Iops=100, MultiAttachEnabled=True)
    first, second = make_instance(region), make_instance(region)
    attach(region, volume_id, first)
    attach(region, volume_id, second)
    assert refusal(lambda: attach(region, volume_id, second, "/dev/sdg"))[0] == "VolumeInUse"


def test_volume_is_at_least_as_large_as_its_snapshot(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    snapshot_id = ec2.create_snapshot(VolumeId=make_volume(region, Size=7))["SnapshotId"]
    assert ec2.create_volume(AvailabilityZone=ZONE_A, SnapshotId=snapshot_id)["Size"] == 7
    assert ec2.create_volume(AvailabilityZone=ZONE_A, SnapshotId=snapshot_id, Size=9)["Size"] == 9
    assert (
        refusal(lambda: ec2.create_volume(AvailabilityZone=ZONE_A, SnapshotId=snapshot_id, Size=3))[0]
        == "InvalidParameterValue"
    )
    assert (
        refusal(lambda: ec2.create_volume(AvailabilityZone=ZONE_A, SnapshotId="snap-0123456789abcdef0"))[0]
        == "InvalidSnapshot.NotFound"
    )
    assert refusal(lambda: ec2.create_volume(AvailabilityZone="us-east-1a", Size=1))[0] == "InvalidZone.NotFound"
    assert refusal(lambda: ec2.create_volume(AvailabilityZone=ZONE_A))[0] == "MissingParameter"


def test_describes_volumes_by_filter_and_page(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    wave = [{"ResourceType": "volume", "Tags": [{"Key": "wave", "Value": "paged"}]}]
    made = {make_volume(region, TagSpecifications=wave) for _ in range(6)}
    filters = [{"Name": "tag:wave", "Values": ["paged"]}]
    pages = list(ec2.get_paginator("describe_volumes").paginate(Filters=filters, PaginationConfig={"PageSize": 5}))
    assert [len(page["Volumes"]) for page in pages] == [5, 1]
    assert {volume["VolumeId"] for page in pages for volume in page["Volumes"]} == made
    assert refusal(lambda: ec2.describe_volumes(VolumeIds=["vol-0123456789abcdef0"])) == (
        "InvalidVolume.NotFound",
        "The volume 'vol-0123456789abcdef0' does not exist.",
    )


def test_describes_many_volumes_by_id_or_filter(region: RunningRegion) -> None:
    ec2, unknown = region.client("ec2"), ["vol-0123456789abcdef0", "vol-0123456789abcdef1"]
    made = [make_volume(region) for _ in range(3)]
    by_id = ec2.describe_volumes(VolumeIds=made)["Volumes"]
    assert {volume["VolumeId"] for volume in by_id} == set(made)
    assert refusal(lambda: ec2.describe_volumes(VolumeIds=[*made, unknown[0]])) == (
        "InvalidVolume.NotFound",
        f"The volume '{unknown[0]}' does not exist.",
    )
    assert refusal(lambda: ec2.describe_volumes(VolumeIds=[*made, *unknown])) == (
        "InvalidVolume.NotFound",
        f"The volumes '{unknown[0]}, {unknown[1]}' do not exist.",
    )
    by_filter = ec2.describe_volumes(Filters=[{"Name": "volume-id", "Values": [*unknown, *made[:2]]}])["Volumes"]
    assert {volume["VolumeId"] for volume in by_filter} == set(made[:2])


@pytest.mark.parametrize(
    ("filters", "first"),
    [
        ({"availability-zone": ZONE_B}, False),
        ({"availability-zone": f"{REGION}?"}, None),
        ({"status": "in-use"}, True),
        ({"attachment.device": "/dev/sd*"}, True),
        ({"attachment.status": "attached"}, True),
        ({"attachment.delete-on-termination": "false"}, True),
        ({"size": "3"}, False),
        ({"volume-type": "gp3", "encrypted": "true"}, True),
        ({"volume-type": "gp3", "encrypted": "false"}, None),
        ({"multi-attach-enabled": "false", "snapshot-id": "*", "tag-key": "Name"}, False),
    ],
)
def test_filters_volumes(region: RunningRegion, filters: dict[str, str], first: bool | None) -> None:
    ec2, wave = region.client("ec2"), uuid.uuid4().hex
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "wave", "Value": wave}]}]
    made = {
        True: make_volume(region, Size=2, VolumeType="gp3", Encrypted=True, TagSpecifications=tags),
        False: make_volume(region, ZONE_B, Size=3, VolumeType="gp2", TagSpecifications=tags),
    }
    ec2.create_tags(Resources=[made[False]], Tags=[{"Key": "Name", "Value": "data"}])
    attach(region, made[True], make_instance(region))
    region.wait_until_idle()
    request = [{"Name": name, "Values": [value]} for name, value in (filters | {"tag:wave": wave}).items()]
    found = [volume["VolumeId"] for volume in ec2.describe_volumes(Filters=request)["Volumes"]]
    both_or_none = [] if "volume-type" in filters else list(made.values())
    assert found == (both_or_none if first is None else [made[first]])


def test_rejects_unknown_and_too_many_filters(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    assert (
        refusal(lambda: ec2.describe_volumes(Filters=[{"Name": "colour", "Values": ["blue"]}]))[0]
        == "InvalidParameterValue"
    )
    ids = [f"vol-{number:017x}" for number in range(201)]

    def tags(values: list[str]) -> Any:
        return ec2.describe_tags(
            Filters=[{"Name": "resource-type", "Values": ["volume"]}, {"Name": "resource-id", "Values": values}]
        )

    assert tags(ids[:199])["Tags"] == []
    assert refusal(lambda: tags(ids[:200])) == (
        "FilterLimitExceeded",
        "The maximum number of filter values specified on a single call is 200",
    )
    assert refusal(lambda: tags(["v" * 256]))[0] == "FilterLimitExceeded"


def test_describes_tags_of_several_resources(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    made = [make_volume(region) for _ in range(3)]
    for volume_id in made:
        ec2.create_tags(Resources=[volume_id], Tags=[{"Key": "Name", "Value": volume_id}])
    found = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [*made[:2], "snap-0123456789abcdef0"]}])[
        "Tags"
    ]
    assert {(tag["ResourceId"], tag["Key"], tag["Value"]) for tag in found} == {(v, "Name", v) for v in made[:2]}


def test_describes_tags_by_filter_and_page(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    volume_id = make_volume(region)
    ec2.create_tags(Resources=[volume_id], Tags=[{"Key": f"key-{i}", "Value": "<&>"} for i in range(7)])
    own = [{"Name": "resource-id", "Values": [volume_id]}]
    pages = list(ec2.get_paginator("describe_tags").paginate(Filters=own, PaginationConfig={"PageSize": 5}))
    assert [len(page["Tags"]) for page in pages] == [5, 2]
    assert {tag["Value"] for page in pages for tag in page["Tags"]} == {"<&>"}
    some = ec2.describe_tags(
        Filters=[*own, {"Name": "key", "Values": ["key-1", "key-2"]}, {"Name": "resource-type", "Values": ["volume"]}]
    )
    assert [tag["Key"] for tag in some["Tags"]] == ["key-1", "key-2"]
    # An unknown resource has no tags, which is not an error.
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ["snap-0123456789abcdef0"]}])["Tags"] == []
    assert (
        refusal(lambda: ec2.describe_tags(Filters=[{"Name": "colour", "Values": ["blue"]}]))[0]
        == "InvalidParameterValue"
    )
    assert refusal(lambda: ec2.describe_tags(NextToken="made-up"))[0] == "InvalidNextToken"


def test_finds_instances_by_tags_and_state(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "aws-like:group", "Value": "web"}]}]
    running, stopped = (
        make_instance(region, TagSpecifications=tags),
        make_instance(region, ZONE_B, TagSpecifications=tags),
    )
    ec2.stop_instances(InstanceIds=[stopped])

    def found(**filters: str) -> set[str]:
        request = [{"Name": "tag:aws-like:group", "Values": ["web"]}]
        request += [{"Name": name.replace("_", "-"), "Values": [value]} for name, value in filters.items()]
        reservations = ec2.describe_instances(Filters=request)["Reservations"]
        return {instance["InstanceId"] for reservation in reservations for instance in reservation["Instances"]}

    assert found() == {running, stopped}
    assert found(instance_state_name="running") == {running}
    assert found(availability_zone=ZONE_B) == {stopped}
    assert (
        refusal(lambda: ec2.describe_instances(Filters=[{"Name": "colour", "Values": ["blue"]}]))[0]
        == "InvalidParameterValue"
    )
    assert (
        refusal(lambda: ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"]))[0] == "InvalidInstanceID.NotFound"
    )


def test_instance_and_root_volume_are_in_the_requested_zone(region: RunningRegion) -> None:
    instance = describe(region, make_instance(region, ZONE_B))
    assert instance["Placement"]["AvailabilityZone"] == ZONE_B
    root = region.client("ec2").describe_volumes(VolumeIds=[instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]])[
        "Volumes"
    ][0]
    assert root["AvailabilityZone"] == ZONE_B


def test_termination_deletes_the_root_volume_and_detaches_others(region: RunningRegion) -> None:
    ec2 = region.client("ec2")
    volume_id, instance_id = make_volume(region), make_instance(region)
    root = describe(region, instance_id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    attach(region, volume_id, instance_id)
    ec2.terminate_instances(InstanceIds=[instance_id])
    assert ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"] == "available"
    assert refusal(lambda: ec2.describe_volumes(VolumeIds=[root]))[0] == "InvalidVolume.NotFound"


def test_instances_send_state_change_events(region: RunningRegion) -> None:
    url = subscribe(region, "instance-states", {"source": ["aws.ec2"]})
    instance_id = make_instance(region)
    region.client("ec2").stop_instances(InstanceIds=[instance_id])
    events = received(region, url)
    assert [event["detail"] for event in events] == [
        {"instance-id": instance_id, "state": s} for s in ("pending", "running", "stopped")
    ]
    assert {event["detail-type"] for event in events} == {"EC2 Instance State-change Notification"}
    assert events[0]["resources"] == [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"]
