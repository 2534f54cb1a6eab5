"""The project's pipeline of golden AMIs: its parameters, what it builds, where that goes, and who hears of failures."""

from pathlib import Path
from typing import Any

import pytest
from running_region import REGION, RunningRegion, refusal

INFRA = Path(__file__).parents[2] / "infra"
PIPELINE, EXAMPLE = INFRA / "golden-ami.yaml", INFRA / "example-workload.yaml"
PRIMARY = "us-east-1"
PARAMETER = "/imagebuilder/golden-ami/ami"


def options(**parameters: str) -> list[str]:
    """The options of a deployment."""
    given = {"PrimaryRegion": PRIMARY} | parameters
    pairs = [word for name, value in given.items() for word in ("--parameter", f"{name}={value}")]
    return [*pairs, "--capability", "CAPABILITY_IAM"]


@pytest.fixture(scope="module")
def stack(region: RunningRegion) -> dict[str, Any]:
    """The stack of the pipeline."""
    return region.deploy(PIPELINE, "golden-ami", *options())


def build(region: RunningRegion, stack: dict[str, Any]) -> dict[str, Any]:
    """The image that the pipeline of a stack built, or did not build."""
    builder = region.client("imagebuilder")
    started = builder.start_image_pipeline_execution(imagePipelineArn=stack["outputs"]["PipelineArn"])
    region.wait_until_idle()
    return builder.get_image(imageBuildVersionArn=started["imageBuildVersionArn"])["image"]


def parameter(region: RunningRegion, name: str, of: str = REGION) -> str | None:
    """The value of a parameter in a Region, None if it does not exist."""
    ssm = region.client("ssm", of)
    try:
        return ssm.get_parameter(Name=name)["Parameter"]["Value"]
    except ssm.exceptions.ParameterNotFound:
        return None


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"PrimaryRegion": REGION}, "PrimaryRegion is the Region of this deployment"),
        ({"SubnetId": "subnet-0a1b2c3d"}, "Set both SubnetId and SecurityGroupId"),
        ({"SecurityGroupId": "sg-0a1b2c3d"}, "Set both SubnetId and SecurityGroupId"),
        ({"ParentImage": "ubuntu"}, "must be amazon-linux-2023"),
        ({"RecipeVersion": "1"}, "three numbers"),
    ],
)
def test_parameters_that_cannot_work_are_refused(region: RunningRegion, parameters: dict[str, str], named: str) -> None:
    done = region.run_deploy(PIPELINE, "refused-ami", *options(**parameters))
    assert done.returncode == 1 and named in done.stderr


def test_image_is_distributed_to_both_regions_and_its_servers_start_from_it(
    region: RunningRegion, stack: dict[str, Any]
) -> None:
    image = build(region, stack)
    assert image["state"]["status"] == "AVAILABLE"
    amis = {ami["region"]: ami["image"] for ami in image["outputResources"]["amis"]}
    assert set(amis) == {REGION, PRIMARY}
    for name, ami in amis.items():
        assert parameter(region, PARAMETER, name) == ami
        (found,) = region.client("ec2", name).describe_images(ImageIds=[ami])["Images"]
        assert found["Name"].startswith("golden-ami-") and "{{" not in found["Name"]
        assert found["Architecture"] == "arm64"
        assert found["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
        assert {"Key": "application", "Value": "rapid-recovery"} in found["Tags"]
    region.client("iam").create_instance_profile(InstanceProfileName="of-golden-servers")
    given = ("--parameter", "DeployedAs=recovery", "--parameter", "InstanceProfile=of-golden-servers")
    workload = region.deploy(EXAMPLE, "golden-workload", *given)
    ids = [workload["resources"]["Server"]]
    (server,) = region.client("ec2").describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"]
    assert server["ImageId"] == amis[REGION]


def test_next_build_replaces_the_parameter(region: RunningRegion, stack: dict[str, Any]) -> None:
    first, second = build(region, stack), build(region, stack)
    assert first["version"] != second["version"]
    newest = {ami["region"]: ami["image"] for ami in second["outputResources"]["amis"]}
    assert parameter(region, PARAMETER) == newest[REGION]
    assert parameter(region, PARAMETER, PRIMARY) == newest[PRIMARY]


def test_without_the_primary_region_only_this_region_gets_the_image(region: RunningRegion) -> None:
    stack = region.deploy(PIPELINE, "lonely-ami", *options(PrimaryCopies="off", RecipeVersion="1.0.1"))
    (ami,) = build(region, stack)["outputResources"]["amis"]
    assert ami["region"] == REGION
    assert parameter(region, "/imagebuilder/lonely-ami/ami") == ami["image"]
    assert parameter(region, "/imagebuilder/lonely-ami/ami", PRIMARY) is None


def test_operators_are_notified_of_a_failed_build_and_the_last_image_stays(
    region: RunningRegion, stack: dict[str, Any]
) -> None:
    build(region, stack)
    before, sent = parameter(region, PARAMETER), len(region.journal("message"))
    region.post("status-ends", {"name": "golden-ami", "status": "FAILED"})
    image = build(region, stack)
    region.post("status-ends", {"name": "golden-ami", "status": None})
    assert image["state"]["status"] == "FAILED" and image["outputResources"]["amis"] == []
    assert parameter(region, PARAMETER) == before
    # Each pipeline's stack has a rule for the failures of all pipelines.
    topic = stack["outputs"]["NotificationTopicArn"]
    (message,) = [entry for entry in region.journal("message")[sent:] if entry["topicArn"] == topic]
    assert image["arn"] in message["message"] and "start the pipeline again" in message["message"]


@pytest.mark.parametrize(("old_images", "action"), [("keep", None), ("deprecate", "DEPRECATE"), ("delete", "DELETE")])
def test_old_images_are_kept_unless_asked(region: RunningRegion, old_images: str, action: str | None) -> None:
    stack = region.deploy(PIPELINE, f"old-{old_images}", *options(OldImages=old_images))
    assert ("OldImagePolicy" in stack["resources"]) == (action is not None)
    assert ("OldImageRole" in stack["resources"]) == (action is not None)


def test_unknown_pipeline_is_refused(region: RunningRegion, stack: dict[str, Any]) -> None:
    builder = region.client("imagebuilder")
    unknown = stack["outputs"]["PipelineArn"] + "-2"
    refused = refusal(lambda: builder.start_image_pipeline_execution(imagePipelineArn=unknown))
    assert refused[0] == "ResourceNotFoundException"
