"""EC2 Image Builder: pipelines of stacks, and the images that they build and distribute. No instance runs for it."""

import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any

from ministack import app
from ministack.core import iam_actions, router
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, request_scope
from ministack.services import ec2, iam, ssm
from ministack.services.cloudformation import provisioners

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.event_bus import EventBus
from local_region.operations import Answer, add_rest_operations
from local_region.pending_work import PendingWork
from local_region.status_changes import StatusChanges
from local_region.volumes import set_tags

SERVICE = "imagebuilder"
EVENT = "EC2 Image Builder Image State Change"
BUILD_DATE = "{{ imagebuilder:buildDate }}"
# A resource's physical id, and the attributes Fn::GetAtt reads.
Created = tuple[str, dict[str, Any]]
# Of each type of a template, the word in its ARN.
KINDS = {
    "AWS::ImageBuilder::Component": "component",
    "AWS::ImageBuilder::DistributionConfiguration": "distribution-configuration",
    "AWS::ImageBuilder::ImagePipeline": "image-pipeline",
    "AWS::ImageBuilder::ImageRecipe": "image-recipe",
    "AWS::ImageBuilder::InfrastructureConfiguration": "infrastructure-configuration",
    "AWS::ImageBuilder::LifecyclePolicy": "lifecycle-policy",
}
# The types of which each name has versions.
VERSIONED = ("component", "image-recipe")
# The states of an image that is built, in order.
BUILDING, DISTRIBUTING, AVAILABLE = ("BUILDING", "TESTING"), "DISTRIBUTING", "AVAILABLE"


class ImageBuilder:
    """The pipelines of the Region, and their images."""

    def __init__(self, changes: StatusChanges, pending: PendingWork, events: EventBus) -> None:
        self._changes = changes
        self._pending = pending
        self._events = events
        # The properties of what stacks made, and the images, each by ARN.
        self._made = AccountRegionScopedDict()
        self._images = AccountRegionScopedDict()
        router.SERVICE_PATTERNS[SERVICE] = {"credential_scope": SERVICE}
        iam_actions.SERVICE_TO_IAM_NAMESPACE[SERVICE] = SERVICE
        app.SERVICE_HANDLERS[SERVICE] = _unknown
        add_rest_operations(SERVICE, {"GetImage": self._get, "StartImagePipelineExecution": self._start})
        for name, kind in KINDS.items():
            provisioners._RESOURCE_HANDLERS[name] = {"create": self._creator(kind), "delete": self._delete}

    def _creator(self, kind: str) -> Callable[..., Created]:
        def create(logical_id: str, props: dict[str, Any], _stack_name: str) -> Created:
            name = str(props["Name"]).lower().replace(" ", "-").replace("_", "-")
            version = f"/{props['Version']}" if kind in VERSIONED else ""
            arn = _arn(kind, f"{name}{version}{'/1' if kind == 'component' else ''}")
            if arn in self._made:
                # A recipe and a component cannot be changed, and a name is used once.
                raise ValueError(f"Resource of type '{kind}' with identifier '{arn}' already exists.")
            for each in _references(kind, props):
                self._check(each, logical_id)
            if kind == "infrastructure-configuration" and props["InstanceProfileName"] not in iam._instance_profiles:
                raise ValueError(f"The instance profile {props['InstanceProfileName']} does not exist")
            self._made[arn] = props
            return arn, {"Arn": arn, "Name": name}

        return create

    def _check(self, arn: str, logical_id: str) -> None:
        """Refuse a reference to what this account does not have. What AWS owns is there."""
        if arn.split(":")[4] == get_account_id() and arn not in self._made:
            raise ValueError(f"The resource {arn} that {logical_id} references does not exist")

    def _delete(self, arn: str, _props: dict[str, Any]) -> None:
        self._made.pop(arn, None)

    def _start(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        pipeline = self._made.get(params["imagePipelineArn"])
        if pipeline is None:
            raise ApiError("ResourceNotFoundException", f"{params['imagePipelineArn']} does not exist", 404)
        recipe = self._made[pipeline["ImageRecipeArn"]]
        name, version = pipeline["ImageRecipeArn"].split("/")[1:]
        build = 1 + sum(arn.startswith(_arn("image", f"{name}/{version}/")) for arn in self._images)
        image = {
            "arn": _arn("image", f"{name}/{version}/{build}"),
            "type": "AMI",
            "name": recipe["Name"],
            "version": f"{version}/{build}",
            "sourcePipelineArn": params["imagePipelineArn"],
            "sourcePipelineName": pipeline["Name"],
            "state": {"status": "PENDING"},
            "outputResources": {"amis": []},
        }
        self._images[image["arn"]] = image
        distribution = self._made[pipeline["DistributionConfigurationArn"]]["Distributions"]
        self._pending.start("image", self._build(image, recipe, distribution))
        token = params.get("clientToken")
        return {"requestId": str(uuid.uuid4()), "clientToken": token, "imageBuildVersionArn": image["arn"]}

    def _get(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        image = self._images.get(params["imageBuildVersionArn"])
        if image is None:
            raise ApiError("ResourceNotFoundException", f"{params['imageBuildVersionArn']} does not exist", 404)
        return {"requestId": str(uuid.uuid4()), "image": image}

    async def _build(self, image: dict[str, Any], recipe: dict[str, Any], distributions: list[dict[str, Any]]) -> None:
        for status in BUILDING:
            self._set(image, status)
        end = self._changes.end_of(image["sourcePipelineName"])
        if end:
            self._set(image, end)
            return
        self._set(image, DISTRIBUTING)
        for each in distributions:
            with request_scope(get_account_id(), each["Region"]):
                image["outputResources"]["amis"].append(_distribute(recipe, each))
        self._set(image, AVAILABLE)

    def _set(self, image: dict[str, Any], status: str) -> None:
        detail = {"previous-state": image["state"], "state": {"status": status}}
        image["state"] = detail["state"]
        self._events.publish("aws.imagebuilder", EVENT, detail, [image["arn"]])


def _distribute(recipe: dict[str, Any], distribution: dict[str, Any]) -> dict[str, Any]:
    """Put the image into this Region, and its id into the parameters; answers what GetImage shows of it."""
    ami = distribution["AmiDistributionConfiguration"]
    image_id = f"ami-{secrets.token_hex(9)[:17]}"
    name = ami["Name"].replace(BUILD_DATE, time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime()))
    devices = [
        {
            "DeviceName": mapping["DeviceName"],
            "Ebs": {
                "SnapshotId": ec2._new_snapshot_id(),
                "VolumeSize": int(mapping["Ebs"]["VolumeSize"]),
                "VolumeType": mapping["Ebs"]["VolumeType"],
                "DeleteOnTermination": "true",
                "Encrypted": True,
            },
        }
        for mapping in recipe["BlockDeviceMappings"]
    ]
    ec2._images[image_id] = {
        "ImageId": image_id,
        "Name": name,
        "ImageLocation": "",
        "Description": "",
        "Architecture": "arm64" if "arm64" in recipe["ParentImage"] else "x86_64",
        "RootDeviceType": "ebs",
        "RootDeviceName": devices[0]["DeviceName"],
        "BlockDeviceMappings": devices,
        "VirtualizationType": "hvm",
        "OwnerId": get_account_id(),
        "CreationDate": ec2._now_ts(),
    }
    set_tags(image_id, ami.get("AmiTags") or {})
    for parameter in distribution.get("SsmParameterConfigurations") or []:
        # The service-linked role may write only there.
        if not parameter["ParameterName"].startswith("/imagebuilder/"):
            raise ValueError(f"Image Builder may not write {parameter['ParameterName']}")
        value = {"Name": parameter["ParameterName"], "Value": image_id, "Type": "String", "Overwrite": True}
        status, _, body = ssm._put_parameter(value | {"DataType": parameter.get("DataType", "text")})
        if status >= 400:
            raise ValueError(f"{parameter['ParameterName']} could not be written: {body.decode()}")
    return {"region": get_region(), "image": image_id, "name": name, "accountId": get_account_id()}


def _references(kind: str, props: dict[str, Any]) -> list[str]:
    """The ARNs of Image Builder that the properties name."""
    if kind == "image-pipeline":
        names = ("ImageRecipeArn", "InfrastructureConfigurationArn", "DistributionConfigurationArn")
        return [props[name] for name in names]
    if kind == "image-recipe":
        return [component["ComponentArn"] for component in props["Components"]]
    return []


def _arn(kind: str, name: str) -> str:
    return f"arn:aws:imagebuilder:{get_region()}:{get_account_id()}:{kind}/{name}"


async def _unknown(_method: str, _path: str, _headers: dict, _body: bytes, _query: dict) -> Answer:
    body = b'{"__type": "UnknownOperationException"}'
    return 400, {"Content-Type": "application/json", "x-amzn-errortype": "UnknownOperationException"}, body
