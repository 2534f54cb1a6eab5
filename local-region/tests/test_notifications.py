"""Messages to a topic: the text for each protocol, and the requests that SNS rejects."""

import json

import pytest
from running_region import RunningRegion, refusal


def topic_with(region: RunningRegion, name: str, *subscriptions: tuple[str, str], display: str = "") -> str:
    """Create a topic with these subscriptions. Returns its ARN."""
    sns = region.client("sns")
    arn = sns.create_topic(Name=name, Attributes={"DisplayName": display} if display else {})["TopicArn"]
    for protocol, endpoint in subscriptions:
        sns.subscribe(TopicArn=arn, Protocol=protocol, Endpoint=endpoint)
    return arn


def test_each_protocol_receives_its_own_text(region: RunningRegion) -> None:
    arn = topic_with(region, "forms", ("sms", "+15550100"))
    forms = {"default": "for all", "email": "for e-mail", "sms": "for phones"}
    region.client("sns").publish(TopicArn=arn, Subject="s", Message=json.dumps(forms), MessageStructure="json")
    (entry,) = region.journal("message", topicArn=arn)
    assert entry["message"] == "for e-mail" and entry["subject"] == "s"
    (text,) = region.journal("text-message", topicArn=arn)
    assert text["phoneNumber"] == "+15550100" and text["parts"] == ["for phones"]


def test_protocol_without_its_own_text_receives_the_default(region: RunningRegion) -> None:
    arn = topic_with(region, "default-form", ("sms", "+15550101"))
    region.client("sns").publish(TopicArn=arn, Message=json.dumps({"default": "for all"}), MessageStructure="json")
    (entry,) = region.journal("message", topicArn=arn)
    assert entry["message"] == "for all"
    (text,) = region.journal("text-message", topicArn=arn)
    assert text["parts"] == ["for all"]


def test_plain_message_is_split_for_phones(region: RunningRegion) -> None:
    arn = topic_with(region, "plain", ("sms", "+15550102"), display="Rapid Recovery")
    message = " ".join(f"word{n:03}" for n in range(300))
    region.client("sns").publish(TopicArn=arn, Message=message)
    (text,) = region.journal("text-message", topicArn=arn)
    assert text["parts"][0].startswith("RAPID RECO> word000 word001")
    assert all(len(part.encode()) <= 140 for part in text["parts"])
    # Split between words, and truncated after 1,600 characters in total.
    assert all(part.split(" ")[-1].startswith("word") for part in text["parts"])
    whole = " ".join(text["parts"])
    assert 1_500 < len(whole) <= 1_600


@pytest.mark.parametrize(
    "message", ["text", "[]", '{"sms": "no default"}', '{"default": 1}', '{"default": "x", "sms": {}}']
)
def test_rejects_json_without_a_default_message(region: RunningRegion, message: str) -> None:
    arn = topic_with(region, "refused", ("sms", "+15550103"))
    code, text = refusal(lambda: region.client("sns").publish(TopicArn=arn, Message=message, MessageStructure="json"))
    assert code == "InvalidParameter" and "Message Structure" in text
    assert region.journal("message", topicArn=arn) == []
