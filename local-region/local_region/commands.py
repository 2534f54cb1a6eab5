"""Run Command: the agents of instances, and commands that run on them."""

import asyncio
import re
import time
import uuid
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import ec2, iam

from local_region.api_error import ApiError
from local_region.callers import Caller
from local_region.documents import Documents
from local_region.file_servers import servers_of
from local_region.fsx_resources import FsxResources
from local_region.guests import Guests, Run
from local_region.journal import Journal
from local_region.operations import add_json_operations
from local_region.pages import page, with_next_token
from local_region.pending_work import PendingWork
from local_region.settings import Settings
from local_region.volumes import tags_of

# The managed policy that lets an agent connect.
AGENT_POLICY = ":policy/AmazonSSMManagedInstanceCore"
AGENT_ACTION = "ssm:UpdateInstanceInformation"
# What GetCommandInvocation shows of the output of a step.
OUTPUT_CHARACTERS = 24_000
ERROR_CHARACTERS = 8_000
PLATFORMS = {"aws:runShellScript": "Linux", "aws:runPowerShellScript": "Windows"}
MOST_INSTANCES = 50


class Commands:
    """The agents and commands of an account and Region."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        pending: PendingWork,
        documents: Documents,
        guests: Guests,
        fsx: FsxResources,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._pending = pending
        self._documents = documents
        self._guests = guests
        self._fsx = fsx
        self._commands = AccountRegionScopedDict()
        self._invocations = AccountRegionScopedDict()
        # When an instance was first seen with a profile.
        self._booted: dict[str, float] = {}
        add_json_operations(
            "ssm",
            {
                "DescribeInstanceInformation": self._describe_agents,
                "GetCommandInvocation": self._get_invocation,
                "ListCommands": self._list_commands,
                "SendCommand": self._send_command,
            },
        )

    # ---- agents ---------------------------------------------------------------------------------------------------

    def _is_connected(self, instance_id: str) -> bool:
        """Whether the agent is connected: its profile allows that, and it has had time to register."""
        instance = ec2._instances.get(instance_id)
        if instance is None or instance["State"]["Name"] != "running" or not _may_connect(instance):
            self._booted.pop(instance_id, None)
            return False
        booted = self._booted.setdefault(instance_id, time.monotonic())
        return time.monotonic() - booted >= self._settings.agent_seconds

    def _describe_agents(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        wanted = None
        for each in params.get("Filters") or []:
            if each["Key"] != "InstanceIds":
                raise ApiError("InvalidFilterKey", f"The local Region does not imitate the filter {each['Key']}")
            wanted = set(each["Values"])
        connected = [
            instance_id
            for instance_id in sorted(ec2._instances)
            if (wanted is None or instance_id in wanted) and self._is_connected(instance_id)
        ]
        agents = [
            {
                "InstanceId": instance_id,
                "PingStatus": "Online",
                "LastPingDateTime": time.time(),
                "AgentVersion": "3.3.2746.0",
                "PlatformType": _platform(instance_id),
                "ResourceType": "EC2Instance",
            }
            for instance_id in connected
        ]
        shown, token = page(agents, params.get("MaxResults", 50), params.get("NextToken"))
        return with_next_token({"InstanceInformationList": shown}, token)

    # ---- commands -------------------------------------------------------------------------------------------------

    def _send_command(self, params: dict[str, Any], caller: Caller) -> dict[str, Any]:
        for unknown in ("Targets", "AlarmConfiguration", "OutputS3BucketName"):
            if params.get(unknown):
                raise ApiError("InvalidParameters", f"The local Region does not imitate {unknown}")
        instances = params.get("InstanceIds") or []
        if not 1 <= len(instances) <= MOST_INSTANCES:
            raise ApiError("InvalidInstanceId", f"SendCommand takes 1 to {MOST_INSTANCES} instances")
        name = params["DocumentName"].rpartition("/")[2]
        document = self._documents.command(name)
        for instance_id in instances:
            # The document was authorized already. Each instance must be, too.
            arn = f"arn:aws:ec2:{get_region()}:{get_account_id()}:instance/{instance_id}"
            tags = {f"ssm:resourceTag/{key}": value for key, value in tags_of(instance_id).items()}
            caller.require("ssm:SendCommand", arn, **tags)
        given = _parameters(document, params.get("Parameters") or {})
        if not all(self._is_connected(instance_id) for instance_id in instances):
            raise ApiError("InvalidInstanceId", "Instances not in a valid state for account")
        command_id = str(uuid.uuid4())
        command = {
            "CommandId": command_id,
            "DocumentName": name,
            "Comment": params.get("Comment", ""),
            "Parameters": {key: [value] for key, value in given.items()},
            "InstanceIds": instances,
            "RequestedDateTime": time.time(),
            "Status": "InProgress",
            "StatusDetails": "InProgress",
            "TargetCount": len(instances),
            "TimeoutSeconds": params.get("TimeoutSeconds", 3600),
        }
        self._commands[command_id] = command
        for instance_id in instances:
            self._pending.start("command", self._run(command, document, instance_id, given))
        return {"Command": command}

    async def _run(self, command: dict[str, Any], document: dict[str, Any], instance_id: str, given: Any) -> None:
        """Run a command on one instance. Only the step of its platform runs."""
        # In the first moments, Systems Manager does not know the invocation.
        await asyncio.sleep(self._settings.wait_scale)
        platform = _platform(instance_id)
        step = next(step for step in document["mainSteps"] if PLATFORMS.get(step["action"]) == platform)
        key = (command["CommandId"], instance_id)
        invocation = {
            "CommandId": command["CommandId"],
            "InstanceId": instance_id,
            "Comment": command["Comment"],
            "DocumentName": command["DocumentName"],
            "PluginName": step["name"],
            "ResponseCode": -1,
            "Status": "InProgress",
            "StatusDetails": "InProgress",
            "StandardOutputContent": "",
            "StandardErrorContent": "",
        }
        self._invocations[key] = invocation
        script = "\n".join(step["inputs"]["runCommand"])
        volumes, network = _attached(instance_id), servers_of(instance_id, self._fsx)
        run = await asyncio.to_thread(self._guests.run, instance_id, script, given, volumes, network)
        self._record(invocation, run, given)
        status = "Success" if run.code == 0 else "Failed"
        invocation.update(
            ResponseCode=run.code,
            Status=status,
            StatusDetails=status,
            StandardOutputContent=run.output[:OUTPUT_CHARACTERS],
            StandardErrorContent=run.error[:ERROR_CHARACTERS],
        )
        own = [self._invocations.get((command["CommandId"], each), {}) for each in command["InstanceIds"]]
        ended = [each.get("Status") for each in own]
        if all(each in ("Success", "Failed") for each in ended):
            status = "Failed" if "Failed" in ended else "Success"
            command.update(Status=status, StatusDetails=status)

    def _record(self, invocation: dict[str, Any], run: Run, given: dict[str, str]) -> None:
        lines = run.output.splitlines()
        self._journal.record(
            "guest",
            instance=invocation["InstanceId"],
            document=invocation["DocumentName"],
            source=given.get("Source", ""),
            path=given.get("Path", ""),
            ran="recorded" if run.recorded else "script",
            why=run.recorded or "",
            code=run.code,
            result=lines[-1].removeprefix("RESULT ") if lines else "",
        )

    def _get_invocation(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        invocation = self._invocations.get((params["CommandId"], params["InstanceId"]))
        if invocation is None:
            raise ApiError("InvocationDoesNotExist", "An error occurred: the invocation does not exist")
        plugin = params.get("PluginName")
        if plugin not in (None, invocation["PluginName"]):
            raise ApiError("InvalidPluginName", f"The plugin name {plugin} is not valid")
        return dict(invocation)

    def _list_commands(self, params: dict[str, Any], _caller: Caller) -> dict[str, Any]:
        found = list(self._commands.values())
        for each in params.get("Filters") or []:
            if each["key"] != "DocumentName":
                raise ApiError("InvalidFilterKey", f"The local Region does not imitate the filter {each['key']}")
            found = [command for command in found if command["DocumentName"] == each["value"]]
        if params.get("CommandId"):
            found = [command for command in found if command["CommandId"] == params["CommandId"]]
        shown, token = page(found, params.get("MaxResults", 50), params.get("NextToken"))
        return with_next_token({"Commands": shown}, token)


def _platform(instance_id: str) -> str:
    platform = (ec2._instances.get(instance_id) or {}).get("Platform") or ""
    return "Windows" if platform.lower() == "windows" else "Linux"


def _may_connect(instance: dict[str, Any]) -> bool:
    """Whether the role of the instance's profile allows its agent to connect."""
    arn = (instance.get("IamInstanceProfile") or {}).get("Arn", "")
    profile = iam._instance_profiles.get(arn.rpartition("/")[2])
    for name in (profile or {}).get("Roles", []):
        role = iam._roles.get(name if isinstance(name, str) else name.get("RoleName", "")) or {}
        attached = [
            each if isinstance(each, str) else each.get("PolicyArn", "") for each in role.get("AttachedPolicies", [])
        ]
        if any(each.endswith(AGENT_POLICY) for each in attached):
            return True
        if AGENT_ACTION in str(role.get("InlinePolicies", {})):
            return True
    return False


def _attached(instance_id: str) -> dict[str, str]:
    """The data volumes that are attached to an instance, with the snapshot of each."""
    return {
        volume["VolumeId"]: volume.get("SnapshotId") or ""
        for volume in ec2._volumes.values()
        for attachment in volume["Attachments"]
        if attachment["InstanceId"] == instance_id
        and attachment["State"] == "attached"
        and attachment["Device"] not in ("/dev/xvda", "/dev/sda1")
    }


def _parameters(document: dict[str, Any], given: dict[str, list[str]]) -> dict[str, str]:
    """The values of a document's parameters, checked as Systems Manager checks them."""
    declared = document.get("parameters") or {}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise ApiError("InvalidParameters", f"The document has no parameter {', '.join(unknown)}")
    values = {}
    for name, parameter in declared.items():
        value = (given.get(name) or [parameter.get("default")])[0]
        if value is None:
            raise ApiError("InvalidParameters", f"The parameter {name} is required")
        allowed, pattern = parameter.get("allowedValues"), parameter.get("allowedPattern")
        if (allowed and value not in allowed) or (pattern and not re.search(pattern, value)):
            raise ApiError("InvalidParameters", f"The value of {name} is not allowed: {value}")
        values[name] = value
    return values
