"""A local Region in a separate process, as its users run it, and helpers for tests."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import boto3
import botocore.config
import pytest
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

PACKAGE = Path(__file__).parents[1]
ACCOUNT = "111122223333"
REGION = "us-west-2"


class RunningRegion:
    """One serving process. Its waits end as soon as the condition holds."""

    def __init__(
        self,
        *options: str,
        region: str = REGION,
        environment: dict[str, str] | None = None,
        errors: IO[str] | None = None,
    ) -> None:
        command = [
            sys.executable,
            "-m",
            "local_region",
            "serve",
            "--region",
            region,
            "--account",
            ACCOUNT,
            "--exit-with-stdin",
            *options,
        ]
        self.process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": str(PACKAGE)} | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        self.ready = json.loads(self.process.stdout.readline())
        self.endpoint: str = self.ready["endpoint"]
        self.region = region
        self._clients: dict[tuple[str, str], Any] = {}

    def stop(self) -> int:
        """End the process by closing its standard input. Returns its exit code."""
        self.process.stdin.close()
        return self.process.wait(timeout=15)

    def client(self, service: str, region: str | None = None) -> Any:
        """A client with the operator's credentials that validates every response with the API model."""
        key = (service, region or self.region)
        if key not in self._clients:
            client = boto3.session.Session().client(
                service,
                region_name=region or self.region,
                endpoint_url=self.endpoint,
                aws_access_key_id=self.ready["accessKeyId"],
                aws_secret_access_key=self.ready["secretAccessKey"],
                config=botocore.config.Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
            )
            client.meta.events.register("after-call", check_answer)
            self._clients[key] = client
        return self._clients[key]

    def get(self, path: str) -> Any:
        """The answer of a control endpoint."""
        with urllib.request.urlopen(f"{self.endpoint}/_local-region/{path}", timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """The status and answer of a control endpoint."""
        request = urllib.request.Request(
            f"{self.endpoint}/_local-region/{path}", json.dumps(body).encode(), method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def delete(self, path: str) -> Any:
        """The answer of a control endpoint to DELETE."""
        request = urllib.request.Request(f"{self.endpoint}/_local-region/{path}", method="DELETE")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def send(self, **envelope: Any) -> str:
        """Send an event as an AWS service does. Returns its id."""
        status, answer = self.post("events", {name.replace("_", "-"): value for name, value in envelope.items()})
        assert status == 200, answer
        return answer["eventIds"][0]

    def wait_until_idle(self) -> None:
        """Return when nothing is pending."""
        assert self.get("idle?timeout=30")["idle"], "the Region did not become idle"

    def journal(self, kind: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """The journal's entries of a kind that have these fields."""
        return [
            entry
            for entry in self.get("journal?since=0")["entries"]
            if kind in (None, entry["kind"]) and all(entry.get(name) == value for name, value in fields.items())
        ]

    def wait_for(self, count: int, kind: str, holds: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Wait for `count` journal entries of a kind for which `holds` is true."""
        found: list[dict[str, Any]] = []
        deadline, since = time.monotonic() + 30, 0
        while time.monotonic() < deadline:
            journal = self.get(f"journal?since={since}&timeout=1")
            since = journal["next"]
            found += [entry for entry in journal["entries"] if entry["kind"] == kind and holds(entry)]
            if len(found) >= count:
                return found
        raise AssertionError(f"the journal has {len(found)} such entries of kind {kind}, not {count}: {found}")

    def deploy(self, template: Path, stack_name: str, *options: str) -> dict[str, Any]:
        """Deploy a template with the `deploy` command, which must succeed."""
        done = self.run_deploy(template, stack_name, *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run_deploy(self, template: Path, stack_name: str, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run the `deploy` command."""
        return self.run_deploy_to(self.endpoint, template, stack_name, *options)

    @staticmethod
    def run_deploy_to(
        endpoint: str, template: Path, stack_name: str, *options: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run the `deploy` command against any endpoint."""
        command = [
            sys.executable,
            "-m",
            "local_region",
            "deploy",
            "--endpoint",
            endpoint,
            "--region",
            REGION,
            "--template",
            str(template),
            "--stack-name",
            stack_name,
            *options,
        ]
        return subprocess.run(
            command, env=os.environ | {"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, timeout=120
        )


def subscribe(region: RunningRegion, name: str, pattern: dict[str, Any]) -> str:
    """Send the events that match `pattern` to a new queue. Returns its URL."""
    url, arn = make_queue(region, name)
    region.client("events").put_rule(Name=name, EventPattern=json.dumps(pattern))
    region.client("events").put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    return url


def make_queue(region: RunningRegion, name: str) -> tuple[str, str]:
    """Create a queue that rules may send to. Returns its URL and ARN."""
    sqs = region.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
    }
    sqs.set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}
    )
    return url, arn


def received(region: RunningRegion, queue_url: str) -> list[dict[str, Any]]:
    """The events in a queue, oldest first."""
    return [json.loads(message["Body"]) for message in messages(region, queue_url)]


def messages(region: RunningRegion, queue_url: str) -> list[dict[str, Any]]:
    """All messages of a queue, which is empty afterwards."""
    sqs = region.client("sqs")
    found: list[dict[str, Any]] = []
    while True:
        batch = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
            "Messages", []
        )
        if not batch:
            return found
        for message in batch:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        found += batch


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    """The code and message of the error a call must end with."""
    with pytest.raises(ClientError) as refused:
        call()
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def check_answer(http_response: Any, parsed: dict[str, Any], model: Any, **_: Any) -> None:
    """Check that a response has every required member of its shape and, as far as visible, no unknown one."""
    if http_response.status_code >= 400 or model.output_shape is None:
        return
    if model.service_model.service_name == "iam":
        # boto3 has decoded the policies in these answers: they are no longer what the model says.
        return
    answer = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
    report = ParamValidator().validate(answer, model.output_shape)
    assert not report.has_errors(), f"{model.name}: {report.generate_report()}"
    if model.service_model.protocol in ("json", "rest-json") and model.service_model.service_name in ("ssm", "backup"):
        body = json.loads(http_response.content or b"{}")
        assert not list(_unknown(body, model.output_shape)), f"{model.name} answers members its model lacks"


def _unknown(value: Any, shape: Any) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        known = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        for name, item in value.items():
            if name not in known:
                yield name
            else:
                yield from _unknown(item, known[name])
    elif shape.type_name == "list" and isinstance(value, list):
        for item in value:
            yield from _unknown(item, shape.member)
    elif shape.type_name == "map" and isinstance(value, dict):
        for item in value.values():
            yield from _unknown(item, shape.value)
