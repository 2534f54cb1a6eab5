"""Auto Scaling groups that really launch their instances."""

import re
from typing import Any

from ministack.services import autoscaling, ec2

from local_region.instances import Instances, propagated_tags

# The tag Auto Scaling puts on each instance, by which it is found.
GROUP_TAG = "aws:autoscaling:groupName"


class AutoScaling:
    """Keeps each group at its desired capacity."""

    def __init__(self, instances: Instances) -> None:
        self._instances = instances
        self._delete_by_ministack = autoscaling._ACTION_MAP["DeleteAutoScalingGroup"]
        self._describe_by_ministack = autoscaling._ACTION_MAP["DescribeAutoScalingGroups"]
        autoscaling._reconcile_instances = self.reconcile
        autoscaling._ACTION_MAP["DeleteAutoScalingGroup"] = self._delete_group
        autoscaling._ACTION_MAP["DescribeAutoScalingGroups"] = self._describe_groups

    def reconcile(self, group: dict[str, Any]) -> None:
        """Launch or terminate instances until the group has its desired capacity."""
        members = group["Instances"]
        while len(members) > group["DesiredCapacity"]:
            self._instances.terminate(members.pop()["InstanceId"])
        while len(members) < group["DesiredCapacity"]:
            members.append(self._launch(group))

    def terminate_all(self, group: dict[str, Any]) -> None:
        """Terminate every instance of the group."""
        self.reconcile(group | {"DesiredCapacity": 0})

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
            **place,
        )
        return {
            "InstanceId": instance["InstanceId"],
            "LifecycleState": "InService",
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


def _place(group: dict[str, Any], index: int) -> dict[str, str]:
    """Where the group's instance number `index` goes: its subnets in turn, else its zones in turn."""
    subnets = [subnet for subnet in group.get("VPCZoneIdentifier", "").split(",") if subnet]
    if subnets:
        return {"subnet_id": subnets[index % len(subnets)]}
    return {"zone": group["AvailabilityZones"][index % len(group["AvailabilityZones"])]}


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
