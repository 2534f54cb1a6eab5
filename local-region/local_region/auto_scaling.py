"""Auto Scaling groups that really launch their instances, each with its lifecycle state."""

import re
from typing import Any

from ministack.services import autoscaling, ec2

from local_region.instances import Instances, propagated_tags

# The tag Auto Scaling puts on each instance, those of a warm pool too, by which EC2 finds it.
GROUP_TAG = "aws:autoscaling:groupName"
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
# A member that waits for its hook runs; so does one of a warm pool of running instances.
PENDING_WAIT, TERMINATING_WAIT = "Pending:Wait", "Terminating:Wait"


class AutoScaling:
    """Keeps each group at its desired capacity, with its lifecycle hooks, warm pool and instance refreshes."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._delete_by_ministack = autoscaling._ACTION_MAP["DeleteAutoScalingGroup"]
        self._describe_by_ministack = autoscaling._ACTION_MAP["DescribeAutoScalingGroups"]
        self._refresh_by_ministack = autoscaling._ACTION_MAP["StartInstanceRefresh"]
        self._complete_by_ministack = autoscaling._ACTION_MAP["CompleteLifecycleAction"]
        # Instances of warm pools, by the group's name: DescribeAutoScalingGroups does not list them.
        self._warm: dict[str, list[dict[str, Any]]] = {}
        autoscaling._reconcile_instances = self.reconcile
        autoscaling._ACTION_MAP |= {
            "CompleteLifecycleAction": self._complete_action,
            "DeleteAutoScalingGroup": self._delete_group,
            "DeleteWarmPool": self._delete_warm_pool,
            "DescribeAutoScalingGroups": self._describe_groups,
            "DescribeWarmPool": self._describe_warm_pool,
            "PutWarmPool": self._put_warm_pool,
            "StartInstanceRefresh": self._start_refresh,
        }

    def reconcile(self, group: dict[str, Any]) -> None:
        """Launch or terminate instances until the group has its desired capacity."""
        while len(serving := _serving(group)) > group["DesiredCapacity"]:
            self._retire(group, serving[-1])
        while len(_serving(group)) < group["DesiredCapacity"]:
            group["Instances"].append(self._launch(group))

    def terminate_all(self, group: dict[str, Any]) -> None:
        """Terminate every instance of the group and of its warm pool, whatever its hooks say."""
        for member in [*group["Instances"], *self._warm.pop(group["AutoScalingGroupName"], [])]:
            self._instances.terminate(member["InstanceId"])
        group["Instances"].clear()

    def _retire(self, group: dict[str, Any], member: dict[str, Any]) -> None:
        """Terminate a member. With a hook, it runs until the hook is completed."""
        if _has_hook(group, TERMINATING):
            member["LifecycleState"] = TERMINATING_WAIT
            return
        self._end(group, member)

    def _end(self, group: dict[str, Any], member: dict[str, Any]) -> None:
        group["Instances"].remove(member)
        self._instances.terminate(member["InstanceId"])

    def _complete_action(self, params: dict[str, Any]) -> Any:
        name, instance_id = (autoscaling._p(params, key) for key in ("AutoScalingGroupName", "InstanceId"))
        group = autoscaling._asgs.get(name)
        if group is None:
            return autoscaling._error("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup: {name}")
        member = next((each for each in group["Instances"] if each["InstanceId"] == instance_id), None)
        if member is None or not member["LifecycleState"].endswith(":Wait"):
            return autoscaling._error(
                "ValidationError", f"No active Lifecycle Action found with instance ID {instance_id}"
            )
        if member["LifecycleState"] == TERMINATING_WAIT:
            self._end(group, member)
        else:
            self._put_in_service(group, member)
        return self._complete_by_ministack(params)

    def _put_in_service(self, group: dict[str, Any], member: dict[str, Any]) -> None:
        """The member serves; the one it replaces in an instance refresh goes."""
        member["LifecycleState"] = "InService"
        replaced = member.pop("Replaces", None)
        for old in [each for each in group["Instances"] if each["InstanceId"] == replaced]:
            self._retire(group, old)

    def _start_refresh(self, params: dict[str, Any]) -> Any:
        """Replace each member as a refresh does that stays at 100 % healthy: launch before terminating."""
        answer = self._refresh_by_ministack(params)
        if answer[0] == 200:
            group = autoscaling._asgs[autoscaling._p(params, "AutoScalingGroupName")]
            for old in _serving(group):
                new = self._launch(group) | {"Replaces": old["InstanceId"]}
                group["Instances"].append(new)
                if new["LifecycleState"] == "InService":
                    self._put_in_service(group, new)
        return answer

    def _put_warm_pool(self, params: dict[str, Any]) -> Any:
        name = autoscaling._p(params, "AutoScalingGroupName")
        group = autoscaling._asgs.get(name)
        if group is None:
            return autoscaling._error("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup: {name}")
        state = autoscaling._p(params, "PoolState") or "Stopped"
        pool = self._warm.setdefault(name, [])
        while len(pool) < int(autoscaling._p(params, "MinSize") or 0):
            member = self._launch(group) | {"LifecycleState": f"Warmed:{state}"}
            if state == "Stopped":
                ec2._ACTION_MAP["StopInstances"]({"InstanceId.1": member["InstanceId"]})
            pool.append(member)
        return autoscaling._xml(200, "PutWarmPoolResponse", "<PutWarmPoolResult/>")

    def _describe_warm_pool(self, params: dict[str, Any]) -> Any:
        pool = self._warm.get(autoscaling._p(params, "AutoScalingGroupName"), [])
        instances = autoscaling._instances_xml({"Instances": pool})
        return autoscaling._xml(
            200, "DescribeWarmPoolResponse", f"<DescribeWarmPoolResult>{instances}</DescribeWarmPoolResult>"
        )

    def _delete_warm_pool(self, params: dict[str, Any]) -> Any:
        for member in self._warm.pop(autoscaling._p(params, "AutoScalingGroupName"), []):
            self._instances.terminate(member["InstanceId"])
        return autoscaling._xml(200, "DeleteWarmPoolResponse", "<DeleteWarmPoolResult/>")

    def _launch(self, group: dict[str, Any]) -> dict[str, Any]:
        place = _place(group, len(group["Instances"]))
        data = _launch_template_data(group.get("LaunchTemplate") or {})
        tags = propagated_tags(group.get("Tags", [])) | {GROUP_TAG: group["AutoScalingGroupName"]}
        for specification in data.get("TagSpecifications") or []:
            if specification.get("ResourceType") == "instance":
                tags = {tag["Key"]: tag["Value"] for tag in specification.get("Tags") or []} | tags
        instance = self._instances.launch(
            tags,
            data.get("ImageId"),
            data.get("InstanceType"),
            security_group_ids=data.get("SecurityGroupIds"),
            key_name=data.get("KeyName"),
            profile=_profile_name(data.get("IamInstanceProfile") or {}),
            **place,
        )
        return {
            "InstanceId": instance["InstanceId"],
            "LifecycleState": PENDING_WAIT if _has_hook(group, LAUNCHING) else "InService",
            "HealthStatus": "Healthy",
            "AvailabilityZone": instance["Placement"]["AvailabilityZone"],
            "ProtectedFromScaleIn": group["NewInstancesProtectedFromScaleIn"],
            "LaunchTemplate": group.get("LaunchTemplate") or {},
            "LaunchConfigurationName": group.get("LaunchConfigurationName", ""),
        }

    def _describe_groups(self, params: dict[str, Any]) -> Any:
        status, headers, body = self._describe_by_ministack(params)
        # AWS leaves out what a group does not have; ministack answers it empty.
        return status, headers, re.sub(rb"<(LaunchConfigurationName|VPCZoneIdentifier)></\1>", b"", body)

    def _delete_group(self, params: dict[str, Any]) -> Any:
        group = autoscaling._asgs.get(autoscaling._p(params, "AutoScalingGroupName"))
        if group and group["Instances"]:
            if autoscaling._p(params, "ForceDelete") != "true":
                return autoscaling._error(
                    "ResourceInUse",
                    "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance "
                    "request(s) still in the group.",
                )
            self.terminate_all(group)
        return self._delete_by_ministack(params)


def _serving(group: dict[str, Any]) -> list[dict[str, Any]]:
    """The members that count towards the desired capacity."""
    return [member for member in group["Instances"] if member["LifecycleState"] != TERMINATING_WAIT]


def _has_hook(group: dict[str, Any], transition: str) -> bool:
    """Whether a lifecycle hook holds the group's instances at this transition."""
    return any(
        hook["AutoScalingGroupName"] == group["AutoScalingGroupName"] and hook["LifecycleTransition"] == transition
        for hook in autoscaling._hooks.values()
    )


def _place(group: dict[str, Any], index: int) -> dict[str, str]:
    """Where the group's instance number `index` goes: its subnets in turn, else its zones in turn."""
    subnets = [subnet for subnet in group.get("VPCZoneIdentifier", "").split(",") if subnet]
    if subnets:
        return {"subnet_id": subnets[index % len(subnets)]}
    return {"zone": group["AvailabilityZones"][index % len(group["AvailabilityZones"])]}


def _profile_name(profile: dict[str, str]) -> str | None:
    """The name of the instance profile of a launch template, which may also be named by its ARN."""
    return profile.get("Name") or profile.get("Arn", "").rpartition("/")[2] or None


def _launch_template_data(specification: dict[str, Any]) -> dict[str, Any]:
    wanted = (specification.get("LaunchTemplateId"), specification.get("LaunchTemplateName"))
    for template in ec2._launch_templates.values():
        if template["LaunchTemplateId"] in wanted or template["LaunchTemplateName"] in wanted:
            number = {
                "$Default": template["DefaultVersionNumber"],
                "$Latest": template["LatestVersionNumber"],
            }.get(specification.get("Version", "$Default"), specification.get("Version"))
            for version in template["Versions"]:
                if str(version["VersionNumber"]) == str(number):
                    return version.get("LaunchTemplateData") or {}
    return {}
