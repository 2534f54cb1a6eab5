"""Messages published to SNS topics, into the journal: as their subscribers read them."""

import json
from typing import Any

from ministack import app
from ministack.services import ec2, sns

from local_region.journal import Journal
from local_region.operations import Answer

# An SMS of ASCII characters, and all the parts of one message together:
# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
PART_LIMIT = 140
TEXT_MESSAGE_LIMIT = 1_600
# Of a topic's display name, phones are shown this much.
DISPLAY_NAME_SHOWN = 10


def record_messages(journal: Journal) -> None:
    """Journal each message at the moment its topic hands it to the subscribers."""
    fan_out = sns._fanout

    def recorded(
        topic_arn: str, msg_id: str, message: str, subject: str, message_structure: str = "", *rest: Any, **options: Any
    ) -> None:
        attributes = rest[0] if rest else options.get("message_attributes")
        forms = json.loads(message) if message_structure == "json" else {"default": message}
        journal.record(
            "message",
            topicArn=topic_arn,
            messageId=msg_id,
            subject=subject or None,
            message=forms.get("email", forms["default"]),
            attributes=attributes or {},
        )
        topic = sns._topic_by_arn_any_scope(topic_arn) or {}
        display = topic.get("attributes", {}).get("DisplayName", "")
        for subscription in topic.get("subscriptions", []):
            if subscription.get("protocol") == "sms":
                journal.record(
                    "text-message",
                    topicArn=topic_arn,
                    messageId=msg_id,
                    phoneNumber=subscription["endpoint"],
                    parts=_parts(display, forms.get("sms", forms["default"])),
                )
        fan_out(topic_arn, msg_id, message, subject, message_structure, *rest, **options)

    sns._fanout = recorded


def check_message_structure() -> None:
    """Refuse messages in JSON that have no form for a protocol without one of its own, as SNS does."""
    ministack_handler = app.SERVICE_HANDLERS["sns"]

    async def handle(method: str, path: str, headers: dict, body: bytes, query: dict) -> Answer:
        params = app._routing_params(method, path, headers, body, query)
        if ec2._p(params, "Action") == "Publish" and ec2._p(params, "MessageStructure") == "json":
            wrong = _wrong_with_forms(ec2._p(params, "Message"))
            if wrong:
                return sns._error("InvalidParameter", f"Invalid parameter: Message Structure - {wrong}", 400)
        return await ministack_handler(method, path, headers, body, query)

    app.SERVICE_HANDLERS["sns"] = handle


def _wrong_with_forms(message: str) -> str | None:
    try:
        forms = json.loads(message)
    except ValueError:
        return "JSON message body failed to parse"
    if not isinstance(forms, dict) or not isinstance(forms.get("default"), str):
        return "No default entry in JSON message body"
    if not all(isinstance(form, str) for form in forms.values()):
        return "An entry in the JSON message body is not a string"
    return None


def _parts(display_name: str, message: str) -> list[str]:
    """The text messages that one message becomes: cut between words, each within the limit of an SMS."""
    prefix = f"{display_name[:DISPLAY_NAME_SHOWN].upper()}> " if display_name else ""
    left = (prefix + message)[:TEXT_MESSAGE_LIMIT]
    if len(prefix + message) > TEXT_MESSAGE_LIMIT:
        left = left.rpartition(" ")[0] or left
    # A character outside ASCII makes it UCS-2, of which 70 characters fit.
    limit = PART_LIMIT if left.isascii() else PART_LIMIT // 2
    parts = []
    while len(left) > limit:
        end = left.rfind(" ", 0, limit + 1)
        end = end if end > 0 else limit
        parts.append(left[:end])
        left = left[end:].lstrip(" ")
    return [*parts, left]
