"""EC2's images: which of them exist, and their volumes."""

import re
from typing import Any

from ministack.services import ec2

from local_region.api_error import ApiError
from local_region.operations import Answer, add_ec2_actions

# The description of what AWS Backup makes.
OF_BACKUP = "This image is created by the AWS Backup service."


def add_image_actions() -> None:
    """Refuse images that do not exist, show which volumes are encrypted, and keep AWS Backup's images."""
    describe, deregister = ec2._ACTION_MAP["DescribeImages"], ec2._ACTION_MAP["DeregisterImage"]
    mappings_of = ec2._image_bdm_xml

    def described(params: dict[str, Any]) -> Answer:
        public = {stub[0] for stub in ec2._STUB_AMIS}
        for image_id in ec2._parse_member_list(params, "ImageId"):
            if not re.fullmatch(r"ami-[0-9a-f]{8}([0-9a-f]{9})?", image_id):
                raise ApiError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}"')
            if image_id not in ec2._images and image_id not in public:
                raise ApiError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        return describe(params)

    def deregistered(params: dict[str, Any]) -> Answer:
        image_id = ec2._p(params, "ImageId")
        if ec2._images.get(image_id, {}).get("Description") == OF_BACKUP:
            raise ApiError(
                "InvalidParameterValue",
                f"This image is managed by AWS Backup and cannot be deregistered by EC2: {image_id}",
            )
        return deregister(params)

    def mappings(view: dict[str, Any]) -> str:
        shown = mappings_of(view)
        for mapping in view["BlockDeviceMappings"]:
            ebs = mapping.get("Ebs") or {}
            if "Encrypted" in ebs:
                snapshot = f"<snapshotId>{ebs['SnapshotId']}</snapshotId>"
                shown = shown.replace(snapshot, f"{snapshot}<encrypted>{str(ebs['Encrypted']).lower()}</encrypted>")
        return shown

    ec2._image_bdm_xml = mappings
    add_ec2_actions({"DescribeImages": described, "DeregisterImage": deregistered})
