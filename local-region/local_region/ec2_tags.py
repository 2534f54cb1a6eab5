"""DescribeTags, with the pages and wildcards that ministack's leaves out."""

from typing import Any

from ministack.services import ec2

from local_region.ec2_filters import filters_of, matches
from local_region.operations import Answer, add_ec2_actions
from local_region.volumes import paged_xml

FILTERS = ("key", "resource-id", "resource-type", "tag", "value")


def add_describe_tags() -> None:
    """Serve DescribeTags from here."""
    add_ec2_actions({"DescribeTags": _describe_tags})


def _describe_tags(params: dict[str, Any]) -> Answer:
    filters = filters_of(params, FILTERS)
    found = []
    for resource_id, tags in ec2._tags.items():
        for tag in tags:
            about = {
                "key": tag["Key"],
                "resource-id": resource_id,
                "resource-type": ec2._guess_resource_type(resource_id),
                "value": tag.get("Value", ""),
                f"tag:{tag['Key']}": tag.get("Value", ""),
            }
            if all(matches(about.get(name, ""), wanted) for name, wanted in filters.items()):
                found.append(_tag_xml(about))
    return paged_xml("DescribeTagsResponse", "tagSet", params, found)


def _tag_xml(about: dict[str, str]) -> str:
    return (
        f"<item><resourceId>{about['resource-id']}</resourceId><resourceType>{about['resource-type']}</resourceType>"
        f"<key>{ec2._esc(about['key'])}</key><value>{ec2._esc(about['value'])}</value></item>"
    )
