"""EC2's tags: DescribeTags with its pages and wildcards, and the checks of CreateTags and DeleteTags."""

from typing import Any

from ministack.services import ec2

from local_region.api_error import ApiError
from local_region.ec2_filters import filters_of, matches
from local_region.operations import Answer, add_ec2_actions
from local_region.volumes import existing_instance, existing_volume, paged_xml, set_tags, tags_of

FILTERS = ("key", "resource-id", "resource-type", "tag", "value")


# Tags of AWS's own begin so, and do not count.
RESERVED = "aws:"
MOST_TAGS = 50


def add_tag_actions() -> None:
    """Serve the actions on tags from here."""
    add_ec2_actions({"CreateTags": _create_tags, "DeleteTags": _delete_tags, "DescribeTags": _describe_tags})


def _create_tags(params: dict[str, Any]) -> Answer:
    given = {tag["Key"]: tag["Value"] for tag in ec2._parse_tags(params)}
    ids = _existing_ids(params)
    _check_not_reserved(given)
    changed = {resource_id: tags_of(resource_id) | given for resource_id in ids}
    for resource_id, tags in changed.items():
        if sum(not key.startswith(RESERVED) for key in tags) > MOST_TAGS:
            raise ApiError("TagLimitExceeded", f"More than {MOST_TAGS} tags specified for {resource_id}")
    for resource_id, tags in changed.items():
        set_tags(resource_id, tags)
    return ec2._xml(200, "CreateTagsResponse", "<return>true</return>")


def _delete_tags(params: dict[str, Any]) -> Answer:
    """Delete tags by key, of a key with a value only where it has that value; all, when none is named."""
    named = ec2._parse_tags(params)
    with_value = {tag["Key"] for i, tag in enumerate(named, 1) if f"Tag.{i}.Value" in params}
    wanted = {tag["Key"]: tag["Value"] for tag in named}
    ids = _existing_ids(params)
    _check_not_reserved(wanted)

    def goes(key: str, value: str) -> bool:
        if not named:
            return not key.startswith(RESERVED)
        return key in wanted and (key not in with_value or wanted[key] == value)

    for resource_id in ids:
        kept = {key: value for key, value in tags_of(resource_id).items() if not goes(key, value)}
        set_tags(resource_id, kept)
    return ec2._xml(200, "DeleteTagsResponse", "<return>true</return>")


def _existing_ids(params: dict[str, Any]) -> list[str]:
    """The resources of a request. Volumes, instances and snapshots must exist; of others it is not known here."""
    ids = ec2._parse_member_list(params, "ResourceId")
    if not ids:
        raise ApiError("MissingParameter", "The request must contain the parameter resourceIdSet")
    for resource_id in ids:
        if resource_id.startswith("vol-"):
            existing_volume(resource_id)
        elif resource_id.startswith("i-"):
            existing_instance(resource_id)
        elif resource_id.startswith("snap-") and resource_id not in ec2._snapshots:
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{resource_id}' does not exist.")
    return ids


def _check_not_reserved(tags: dict[str, str]) -> None:
    for key in tags:
        if key.lower().startswith(RESERVED):
            raise ApiError(
                "InvalidParameterValue",
                f"Value ( {key} ) for parameter key is invalid. Tag keys starting with 'aws:' are reserved for "
                "internal use",
            )


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
