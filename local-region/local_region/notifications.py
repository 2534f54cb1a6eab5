"""Messages published to SNS topics, into the journal."""

from typing import Any

from ministack.services import sns

from local_region.journal import Journal


def record_messages(journal: Journal) -> None:
    """Journal each message at the moment its topic hands it to the subscribers."""
    fan_out = sns._fanout

    def recorded(topic_arn: str, msg_id: str, message: str, subject: str, *rest: Any, **options: Any) -> None:
        attributes = rest[1] if len(rest) > 1 else options.get("message_attributes")
        journal.record(
            "message",
            topicArn=topic_arn,
            messageId=msg_id,
            subject=subject or None,
            message=message,
            attributes=attributes or {},
        )
        fan_out(topic_arn, msg_id, message, subject, *rest, **options)

    sns._fanout = recorded
