"""The real state machine of a recovery in virtual time, with stand-ins for the functions and services that it calls."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from virtual_time import VirtualClock

from local_region.map_runs import MapRuns
from local_region.state_data import failure
from local_region.state_runs import StateRun

DEFINITION = Path(__file__).parents[2] / "infra" / "statemachines" / "region-recovery.asl.yaml"
MACHINE = "arn:aws:states:us-west-2:111122223333:stateMachine:region-recovery"
# Parameters of the template and their defaults. Every other name is that of a function or another resource.
PARAMETERS = {
    "DatabaseMinutes": "120",
    "FailOverFunctionArn": "FailOverFunction",
    "FileSystemMinutes": "60",
    "InfrastructureMinutes": "60",
    "Partition": "aws",
    "Region": "us-west-2",
    "RestoreConcurrency": "200",
    "RestoreHours": "12",
    "TableMinutes": "60",
    "UrlSuffix": "amazonaws.com",
    "VerificationFunctionArn": "off",
}
# How long a call takes.
CALL_SECONDS = 0.2
FUNCTION_SECONDS = 1.0


@dataclass
class Stack:
    """A stack that the recovery creates."""

    seconds: float
    resources: dict[str, float] = field(default_factory=dict)
    """When a resource exists, in seconds after the stack was created."""
    fails: bool = False


@dataclass
class Item:
    """One restore of the plan."""

    name: str
    type: str
    restore_seconds: float
    integrate_seconds: float = 0.0
    """From the end of the restore job until the function that integrates is done."""
    needs: tuple[str, str] | None = None
    """Stack and resource without which the restore cannot start."""
    wave: int = 0
    failing_jobs: int = 0
    """How many restore jobs fail before one succeeds."""

    @property
    def arn(self) -> str:
        return {
            "EBS": f"arn:aws:ec2:us-east-1:111122223333:volume/{self.name}",
            "RDS": f"arn:aws:rds:us-east-1:111122223333:db:{self.name}",
            "DynamoDB": f"arn:aws:dynamodb:us-east-1:111122223333:table/{self.name}",
            "EFS": f"arn:aws:elasticfilesystem:us-east-1:111122223333:file-system/{self.name}",
            "FSx": f"arn:aws:fsx:us-east-1:111122223333:file-system/{self.name}",
            "S3": f"arn:aws:s3:::{self.name}",
            "EC2": f"arn:aws:ec2:us-east-1:111122223333:instance/{self.name}",
        }.get(self.type, f"arn:aws:rds:us-east-1:111122223333:cluster:{self.name}")


class Recovery:
    """One execution, and the world that it acts on. Override a method to have a function or service fail."""

    def __init__(self, stacks: dict[str, Stack], items: list[Item], parameters: dict[str, str] | None = None) -> None:
        self.clock = VirtualClock()
        self.stacks, self.items = stacks, {item.arn: item for item in items}
        self.stacks_created: dict[str, float] = {}
        self.refusals: dict[str, int] = {}
        """How many resources the plan refuses, by reason."""
        self.jobs: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, Any] = {}
        self.called: list[tuple[str, Any]] = []
        """Each call with its arguments; of a function its name, of a service the integration."""
        self.integrated: dict[str, float] = {}
        """When each item was integrated."""
        self.problems: list[dict[str, Any]] = []
        """What recovery-reporter was given."""
        self.report: dict[str, Any] = {}
        names = PARAMETERS | (parameters or {})
        written = re.sub(r"\$\{(\w+)}", lambda name: names.get(name[1], _resource(name[1])), DEFINITION.read_text())
        self.execution: dict[str, Any] = {}
        self._definition = yaml.safe_load(written)
        self._run: StateRun | None = None

    def run(self, **given: Any) -> dict[str, Any]:
        """Run until the end, or until it fails. Returns the report's input."""
        self.execution = {
            "executionArn": MACHINE.replace("stateMachine", "execution") + ":shop-1",
            "name": "shop-1",
            "startDate": self.clock.now(),
            "input": json.dumps({"workload": "shop", "mode": "recover"} | given),
            "events": [],
        }
        about = {"arn": MACHINE, "name": "region-recovery", "roleArn": "arn:aws:iam::111122223333:role/recovery"}
        map_runs = MapRuns(SimpleNamespace(record=lambda *_, **__: None))
        self._run = StateRun(self.clock, self, map_runs.run, self.execution, self._definition, about)
        return self._carry_on()

    def stop(self) -> None:
        """Stop the execution, as StopExecution does."""
        self._run.stopped.set()

    def redrive(self, count: int = 1) -> dict[str, Any]:
        """Continue after it has failed."""
        self._run.redrive(count)
        return self._carry_on()

    def _carry_on(self) -> dict[str, Any]:
        self.report = {}
        try:
            self._run.run()
        except Exception as error:
            if getattr(error, "error", None) != "Permanent":
                raise
        self.problems = self.report["problems"]
        return self.report

    # What a state machine asks of tasks.

    def require(self, action: str, *resources: str) -> None:
        """Every right is given."""

    def require_trust(self, source_arn: str) -> None:
        """Everybody is trusted."""

    def invoke(self, resource: str, given: dict[str, Any]) -> Any:
        if resource == "arn:aws:states:::lambda:invoke":
            self.clock.pause(FUNCTION_SECONDS)
            name = given["FunctionName"]
            self.called.append((name, given["Payload"]))
            return {"Payload": getattr(self, method_of(name))(given["Payload"])}
        service, action = resource.split(":")[-2:]
        return self.call(service, action, given)

    def call(self, service: str, action: str, given: dict[str, Any]) -> Any:
        self.clock.pause(CALL_SECONDS)
        self.called.append((f"{service}:{action}", given))
        return getattr(self, f"{service}_{method_of(action)}")(given)

    # The functions.

    def recovery_planner(self, _given: dict[str, Any]) -> dict[str, Any]:
        waves = sorted({item.wave for item in self.items.values()})
        for wave in waves:
            self.objects[f"plans/shop/1/wave-{wave}.json"] = [
                {"resourceArn": item.arn, "type": item.type} for item in self.items.values() if item.wave == wave
            ]
        counts = {wave: len(self.objects[f"plans/shop/1/wave-{wave}.json"]) for wave in waves}
        return {
            "outcome": "planned",
            "planHash": "1",
            "planBucket": "recovery",
            "planKey": "plans/shop/1.json",
            "stacks": [{"stack": name, "template": name} for name in self.stacks],
            "waves": [{"wave": wave, "items": counts[wave], "key": f"plans/shop/1/wave-{wave}.json"} for wave in waves],
            "summary": {"refusalsByReason": self.refusals},
        }

    def restore_starter(self, given: dict[str, Any]) -> dict[str, Any]:
        item = self.items[given["item"]["resourceArn"]]
        if item.needs:
            stack, resource = item.needs
            told = self.objects.get(f"{given.get('stackProblems')}{stack}.json")
            if told:
                return {"outcome": "refused"} | told
            created = self.stacks_created.get(stack)
            exists = created is not None and self.clock.seconds >= created + self.stacks[stack].resources[resource]
            if not exists:
                return {"outcome": "pending", "waitingFor": f"{resource} of the stack {stack}"}
        jobs = [(job, about) for job, about in self.jobs.items() if about["item"] is item]
        if not jobs or self._status(jobs[-1][1]) == "FAILED":
            about = {"item": item, "started": self.clock.seconds, "fails": len(jobs) < item.failing_jobs}
            self.jobs[f"{item.name}-{len(jobs) + 1}"] = about
        return {"outcome": "started", "restoreJobId": list(self.jobs)[-1] if not jobs else self._last_job(item)}

    def restore_integrator(self, given: dict[str, Any]) -> dict[str, Any]:
        about = self.jobs[given["restoreJobId"]]
        item = about["item"]
        if self.clock.seconds < about["started"] + item.restore_seconds + item.integrate_seconds:
            return {"outcome": "pending", "waitingFor": f"{item.name} to become available"}
        self.integrated.setdefault(item.name, self.clock.seconds)
        return {"outcome": "integrated"}

    database_integrator = table_integrator = file_system_integrator = restore_integrator
    bucket_integrator = instance_integrator = restore_integrator

    def recovery_reporter(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["do"] == "verify":
            return {"outcome": "verified", "unfinishedItems": self.unfinished()}
        if given["do"] == "report":
            self.report = given
            return {"outcome": "reported", "complete": not given["problems"]}
        if given["redrives"] > given["round"]:
            return {"outcome": "resumed"}
        raise failure("Permanent", "there are problems")

    def unfinished(self) -> list[dict[str, Any]]:
        """What the verification finds."""
        return [
            {"step": "restore", "subject": item.arn, "reason": "not-restored", "why": "found no completed restore job"}
            for item in self.items.values()
            if item.name not in self.integrated
        ]

    def fail_over(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {"outcome": "failed-over"}

    # The services.

    def lambda_get_account_settings(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": 1000}}

    def cloudformation_describe_stacks(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given["StackName"]
        if name not in self.stacks_created:
            raise failure("CloudFormation.CloudFormationException", f"Stack with id {name} does not exist")
        status = "CREATE_IN_PROGRESS"
        if self.clock.seconds >= self.stacks_created[name] + self.stacks[name].seconds:
            status = "CREATE_FAILED" if self.stacks[name].fails else "CREATE_COMPLETE"
        tags = [{"Key": "recovery:drill", "Value": "shop-1"}] if self._is_drill() else []
        return {"Stacks": [{"StackStatus": status, "Tags": tags}]}

    def cloudformation_create_stack(self, given: dict[str, Any]) -> dict[str, Any]:
        self.stacks_created[given["StackName"]] = self.clock.seconds
        return {}

    def s3_get_object(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["Key"] not in self.objects:
            raise failure("S3.NoSuchKeyException", "The specified key does not exist.")
        return {"Body": json.dumps(self.objects[given["Key"]])}

    def s3_put_object(self, given: dict[str, Any]) -> dict[str, Any]:
        self.objects[given["Key"]] = given["Body"]
        return {}

    def backup_describe_restore_job(self, given: dict[str, Any]) -> dict[str, Any]:
        about = self.jobs[given["RestoreJobId"]]
        restored = about["item"].arn.replace("us-east-1", "us-west-2")
        return {"Status": self._status(about), "CreatedResourceArn": restored, "StatusMessage": "no quota"}

    def ec2_create_tags(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {}

    def efs_tag_resource(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {}

    def fsx_tag_resource(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {}

    def rds_add_tags_to_resource(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {}

    def dynamodb_tag_resource(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {}

    def sfn_start_execution(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {"ExecutionArn": "clean-up"}

    def sns_publish(self, _given: dict[str, Any]) -> dict[str, Any]:
        return {}

    def _status(self, about: dict[str, Any]) -> str:
        if self.clock.seconds < about["started"] + about["item"].restore_seconds:
            return "RUNNING"
        return "FAILED" if about["fails"] else "COMPLETED"

    def _last_job(self, item: Item) -> str:
        return [job for job, about in self.jobs.items() if about["item"] is item][-1]

    def _is_drill(self) -> bool:
        return json.loads(self.execution["input"])["mode"] == "drill"


def _resource(name: str) -> str:
    return name.removesuffix("Arn")


def method_of(name: str) -> str:
    """The method for a function (RestoreStarterFunction) or an action (describeStacks)."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Function")).lower()
