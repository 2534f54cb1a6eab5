"""The `deploy` command: for a local Region what `sam deploy` is for AWS."""

import contextlib
import hashlib
import io
import json
import sys
import time
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.config
import botocore.session
import yaml
from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

CAPABILITIES = ("CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM")
# A stack in one of these can neither be updated nor left alone.
BROKEN = (
    "CREATE_FAILED",
    "DELETE_FAILED",
    "REVIEW_IN_PROGRESS",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
    "UPDATE_ROLLBACK_FAILED",
)


class CannotDeploy(Exception):
    """What stops a deployment, in words that say what to do about it."""


@dataclass(frozen=True)
class Deployment:
    """What to deploy, and where."""

    endpoint: str
    region: str
    template: Path
    stack_name: str
    binaries: Path | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


def deploy(deployment: Deployment) -> dict[str, Any]:
    """Create or update the stack, wait until that is done, and answer its state; raises CannotDeploy."""
    operator = _operator(deployment)
    template = _read_template(deployment.template)
    _check_parameters(template, deployment)
    artifacts = _Artifacts(
        _client("s3", deployment, operator), f"local-region-artifacts-{operator['account']}-{deployment.region}"
    )
    _package(template, deployment, artifacts)
    body = json.dumps(template, default=str).encode()
    key = artifacts.store(body, ".template")
    url = f"{deployment.endpoint}/{artifacts.bucket}/{key}"
    return _Stack(_client("cloudformation", deployment, operator), deployment.stack_name).deploy(url, deployment)


def _operator(deployment: Deployment) -> dict[str, str]:
    """The Region's operator credentials, from the Region itself. Only a Region on loopback is asked."""
    if urllib.parse.urlsplit(deployment.endpoint).hostname not in ("127.0.0.1", "localhost"):
        raise CannotDeploy(
            f"{deployment.endpoint} is not on loopback: this command deploys to a local Region, `sam deploy` to AWS"
        )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{deployment.endpoint}/_local-region/ready", timeout=10) as answer:
            operator = json.load(answer)
    except (OSError, ValueError) as error:
        raise CannotDeploy(
            f"no local Region answers at {deployment.endpoint} ({error}): start one with `python -m local_region serve`"
        ) from error
    if operator["region"] != deployment.region:
        raise CannotDeploy(f"the Region at {deployment.endpoint} is {operator['region']}, not {deployment.region}")
    return operator


def _client(service: str, deployment: Deployment, operator: dict[str, str]) -> Any:
    return botocore.session.Session().create_client(
        service,
        region_name=deployment.region,
        endpoint_url=deployment.endpoint,
        aws_access_key_id=operator["accessKeyId"],
        aws_secret_access_key=operator["secretAccessKey"],
        config=botocore.config.Config(
            proxies={},
            request_checksum_calculation="when_required",
            retries={"total_max_attempts": 1},
            read_timeout=120,
            s3={"addressing_style": "path"},
        ),
    )


def _read_template(path: Path) -> dict[str, Any]:
    try:
        template = yaml_parse(path.read_text())
    except OSError as error:
        raise CannotDeploy(f"cannot read the template {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise CannotDeploy(f"the template {path} is not YAML: {error}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise CannotDeploy(f"the template {path} has no Resources")
    return template


def _check_parameters(template: dict[str, Any], deployment: Deployment) -> None:
    declared = template.get("Parameters") or {}
    missing = [name for name, about in declared.items() if "Default" not in about and name not in deployment.parameters]
    if missing:
        given = " ".join(f"--parameter {name}=..." for name in missing)
        raise CannotDeploy(f"{deployment.template} needs a value for {', '.join(missing)}: give {given}")
    unknown = [name for name in deployment.parameters if name not in declared]
    if unknown:
        raise CannotDeploy(
            f"{deployment.template} declares no parameter {', '.join(unknown)}, only {', '.join(declared) or 'none'}"
        )


def _package(template: dict[str, Any], deployment: Deployment, artifacts: "_Artifacts") -> None:
    """Put what the template names by local path where CloudFormation can read it."""
    folder = deployment.template.parent
    for logical_id, resource in template["Resources"].items():
        properties = resource.setdefault("Properties", {})
        if resource.get("Type") == "AWS::Serverless::Function":
            _package_function(logical_id, resource, deployment, artifacts)
        elif resource.get("Type") == "AWS::Serverless::StateMachine" and isinstance(
            properties.get("DefinitionUri"), str
        ):
            properties["Definition"] = yaml_parse((folder / properties.pop("DefinitionUri")).read_text())
    for include in _includes(template):
        location = include["Parameters"]["Location"]
        if isinstance(location, str) and "://" not in location:
            key = artifacts.store((folder / location).read_bytes(), Path(location).suffix)
            include["Parameters"]["Location"] = f"s3://{artifacts.bucket}/{key}"


def _package_function(
    logical_id: str, resource: dict[str, Any], deployment: Deployment, artifacts: "_Artifacts"
) -> None:
    properties = resource["Properties"]
    if "InlineCode" in properties or isinstance(properties.get("CodeUri"), dict):
        return
    metadata = resource.get("Metadata") or {}
    binary = (metadata.get("BuildProperties") or {}).get("Binary")
    if binary:
        code = _zip_of_binary(logical_id, binary, deployment)
    else:
        folder = deployment.template.parent / (properties.get("CodeUri") or ".")
        if metadata.get("BuildMethod") or not folder.is_dir():
            raise CannotDeploy(
                f"{logical_id} in {deployment.template} names no binary: set Metadata.BuildProperties.Binary, "
                "or let CodeUri name a folder"
            )
        code = _zip_of_folder(folder)
    properties["CodeUri"] = {"Bucket": artifacts.bucket, "Key": artifacts.store(code, ".zip")}


def _zip_of_binary(logical_id: str, binary: str, deployment: Deployment) -> bytes:
    if deployment.binaries is None:
        raise CannotDeploy(
            f"{logical_id} runs the binary {binary}: say with --binaries where binaries are, such as target/debug"
        )
    path = deployment.binaries / binary
    if not path.is_file():
        raise CannotDeploy(
            f"{logical_id} runs the binary {binary}, but there is no {path}: build it with `cargo build --bin {binary}`"
        )
    return _zip([("bootstrap", path)])


def _zip_of_folder(folder: Path) -> bytes:
    return _zip([(str(path.relative_to(folder)), path) for path in sorted(folder.rglob("*")) if path.is_file()])


def _zip(files: list[tuple[str, Path]]) -> bytes:
    """A zip file, the same for the same files. It is stored, not compressed: it never leaves this machine."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, path.read_bytes())
    return packed.getvalue()


def _includes(node: Any) -> Iterator[dict[str, Any]]:
    """Every AWS::Include in a template."""
    if isinstance(node, dict):
        transform = node.get("Fn::Transform")
        if isinstance(transform, dict) and transform.get("Name") == "AWS::Include":
            yield transform
        for value in node.values():
            yield from _includes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _includes(value)


class _Artifacts:
    """A bucket for what a deployment uploads, by content."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket
        # us-east-1 is the one Region that may not be named here.
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": s3.meta.region_name}}
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket=bucket, **({} if s3.meta.region_name == "us-east-1" else elsewhere))

    def store(self, content: bytes, suffix: str) -> str:
        """Upload `content`; answers its key."""
        key = hashlib.sha256(content).hexdigest()[:32] + suffix
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=content)
        return key


class _Stack:
    """One stack, created or updated."""

    def __init__(self, cloudformation: Any, name: str) -> None:
        self._cloudformation = cloudformation
        self._name = name

    def deploy(self, template_url: str, deployment: Deployment) -> dict[str, Any]:
        """Bring the stack to the template; answers its state afterwards."""
        before = self._describe()
        if before and before["StackStatus"] in BROKEN:
            raise CannotDeploy(f"stack {self._name} is {before['StackStatus']}: delete it before deploying it again")
        events_before = {event["EventId"] for event in self._events()} if before else set()
        request = {
            "StackName": self._name,
            "TemplateURL": template_url,
            "Capabilities": sorted({*CAPABILITIES, *deployment.capabilities}),
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value} for key, value in deployment.parameters.items()
            ],
        }
        if deployment.tags:
            request["Tags"] = [{"Key": key, "Value": value} for key, value in deployment.tags.items()]
        try:
            if before:
                self._cloudformation.update_stack(**request)
            else:
                self._cloudformation.create_stack(**request)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise CannotDeploy(
                    f"CloudFormation refuses {deployment.template}: {error.response['Error']['Message']}"
                ) from error
        status = self._wait()
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise CannotDeploy("\n".join([f"stack {self._name} is {status}", *self._failures(events_before)]))
        return self._state()

    def _describe(self) -> dict[str, Any] | None:
        try:
            return self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                return None
            raise

    def _wait(self) -> str:
        while True:
            status = self._describe()["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.05)

    def _events(self) -> list[dict[str, Any]]:
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=self._name)
        return [event for page in pages for event in page["StackEvents"]]

    def _failures(self, known: set[str]) -> list[str]:
        return [
            f"  {event['LogicalResourceId']} ({event['ResourceType']}) {event['ResourceStatus']}: "
            f"{event.get('ResourceStatusReason', '')}"
            for event in reversed(self._events())
            if event["EventId"] not in known and event["ResourceStatus"].endswith("_FAILED")
        ]

    def _state(self) -> dict[str, Any]:
        stack = self._describe()
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=self._name)
        return {
            "stack": self._name,
            "status": stack["StackStatus"],
            "outputs": {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
            "resources": {
                resource["LogicalResourceId"]: resource["PhysicalResourceId"]
                for page in pages
                for resource in page["StackResourceSummaries"]
            },
        }


def run(deployment: Deployment) -> int:
    """Deploy, and print the stack's state as one line of JSON; answers the exit code."""
    try:
        print(json.dumps(deploy(deployment)))
        return 0
    except CannotDeploy as error:
        print(f"local_region: {error}", file=sys.stderr)
        return 1
