//! SNS: notifications of operators.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use recovery_core::error::Error;
use recovery_core::notification::Notification;
use recovery_core::ports::Notifications;
use recovery_core::text;
use serde_json::json;

use crate::client::{Config, Lazy, client};
use crate::error::classify;

/// The topic of the operators; none if notification is `off`.
#[derive(Debug)]
pub struct Topic {
    client: Lazy<Client>,
    arn: Option<String>,
}

const PUBLISH: &str = "sns:Publish";

impl Topic {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[PUBLISH];

    /// A client on `config` for the topic `arn`.
    pub fn new(config: &Config, arn: Option<String>) -> Topic {
        Topic {
            client: client!(config, aws_sdk_sns),
            arn,
        }
    }
}

impl Notifications for Topic {
    /// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
    async fn publish(&self, notification: &Notification) -> Result<(), Error> {
        let Some(arn) = &self.arn else {
            return Ok(());
        };
        let mut request = self
            .client
            .publish()
            .topic_arn(arn)
            .subject(notification.limited_subject())
            .message_structure("json")
            .message(forms(notification));
        let urgent = [(SMS_TYPE, "Transactional".to_owned())];
        for (name, value) in notification.attributes.iter().chain(&urgent) {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .map_err(|error| {
                    classify(
                            PUBLISH,
                            arn,
                            aws_sdk_sns::error::SdkError::<
                                aws_sdk_sns::operation::publish::PublishError,
                            >::construction_failure(error),
                        )
                })?;
            request = request.message_attributes(*name, value);
        }
        request
            .send()
            .await
            .map_err(|error| classify(PUBLISH, arn, error))?;
        Ok(())
    }
}

/// The message attribute with which SNS optimizes a text message for reliability instead of cost:
/// <https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-topic.html>.
const SMS_TYPE: &str = "AWS.SNS.SMS.SMSType";
/// Longest message with all its forms, in bytes: 256 KiB, less subject and attributes.
const FORMS_LIMIT: usize = 250_000;

/// The message for each protocol: `sms` gets a text message, all others the full message.
///
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-send-custom-platform-specific-payloads-mobile-devices.html>
fn forms(notification: &Notification) -> String {
    let of =
        |message: &str| json!({"default": message, "sms": notification.text_message()}).to_string();
    let message = notification.limited_message();
    let mut forms = of(&message);
    let mut limit = message.len();
    // JSON escapes some characters.
    while forms.len() > FORMS_LIMIT {
        limit = limit.saturating_sub(forms.len() - FORMS_LIMIT);
        forms = of(&text::within(&message, limit));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const TOPIC: &str = "arn:aws:sns:us-west-2:111122223333:recovery";

    fn published() -> Answer {
        Answer::query(
            "Publish",
            "<MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId>",
        )
    }

    fn notification() -> Notification {
        Notification {
            subject: "Restored volume not attached: zone-mismatch".to_owned(),
            pointer: "OpsItem oi-1.".to_owned(),
            message: "Why: it lies elsewhere.\n".to_owned(),
            attributes: vec![
                ("kind", "integration-refused".to_owned()),
                ("reason", "zone-mismatch".to_owned()),
            ],
        }
    }

    fn topic(wire: &Wire) -> Topic {
        Topic::new(&wire.config(), Some(TOPIC.to_owned()))
    }

    #[tokio::test]
    async fn publishes_subject_message_and_attributes() {
        let wire = Wire::answering([published()]);
        topic(&wire).publish(&notification()).await.unwrap();
        let mut form = wire.only().form();
        for (name, value) in [
            ("TopicArn", TOPIC),
            ("Subject", "Restored volume not attached: zone-mismatch"),
            ("MessageStructure", "json"),
            (
                "Message",
                r#"{"default":"Why: it lies elsewhere.\n","sms":"Restored volume not attached: zone-mismatch. OpsItem oi-1."}"#,
            ),
        ] {
            assert_eq!(form.remove(name).as_deref(), Some(value));
        }
        // The attributes have no order.
        let mut attributes = Vec::new();
        for n in 1..=3 {
            let mut member = |name: &str| {
                form.remove(&format!("MessageAttributes.entry.{n}.{name}"))
                    .unwrap()
            };
            assert_eq!(member("Value.DataType"), "String");
            attributes.push((member("Name"), member("Value.StringValue")));
        }
        attributes.sort();
        assert_eq!(
            attributes,
            [
                ("AWS.SNS.SMS.SMSType".to_owned(), "Transactional".to_owned()),
                ("kind".to_owned(), "integration-refused".to_owned()),
                ("reason".to_owned(), "zone-mismatch".to_owned())
            ]
        );
        assert!(form.is_empty(), "{form:?}");
    }

    /// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
    #[tokio::test]
    async fn subject_and_message_satisfy_the_limits_of_sns() {
        let wire = Wire::answering([published()]);
        let long = Notification {
            subject: format!("\n Störung 🌊 in us-east-1\u{2028}{}", "x".repeat(200)),
            pointer: String::new(),
            // JSON writes each of these as two characters.
            message: "\"".repeat(200_000),
            attributes: Vec::new(),
        };
        topic(&wire).publish(&long).await.unwrap();
        let form = wire.only().form();
        let subject = &form["Subject"];
        assert!(
            subject.starts_with("St?rung ? in us-east-1 xx"),
            "{subject}"
        );
        assert_eq!(subject.len(), 99);
        assert!(form["Message"].len() <= 256 * 1024);
        let forms: serde_json::Value = serde_json::from_str(&form["Message"]).unwrap();
        assert!(forms["default"].as_str().unwrap().ends_with("(cut)"));
        let sms = forms["sms"].as_str().unwrap();
        assert!(sms.len() <= 140 && sms.is_ascii(), "{sms}");
    }

    #[tokio::test]
    async fn publishes_nothing_without_a_topic() {
        let wire = Wire::answering([]);
        Topic::new(&wire.config(), None)
            .publish(&notification())
            .await
            .unwrap();
        assert!(wire.sent().is_empty());
    }

    #[tokio::test]
    async fn retries_throttled_calls_and_names_the_topic_in_errors() {
        let wire = Wire::answering([
            Answer::query_error(400, "Throttling", "Rate exceeded"),
            Answer::query_error(500, "InternalError", "Try again."),
            published(),
        ]);
        topic(&wire).publish(&notification()).await.unwrap();
        assert_eq!(wire.sent().len(), 3);
        let wire = Wire::answering([Answer::query_error(404, "NotFound", "Topic does not exist")]);
        let error = topic(&wire).publish(&notification()).await.unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_eq!(error.fault().subject(), TOPIC);
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([published()]);
        topic(&wire).publish(&notification()).await.unwrap();
        assert_eq!(wire.actions(), listed(Topic::ACTIONS));
        assert_eq!(
            called_in("sns", include_str!("sns.rs")),
            listed(Topic::ACTIONS)
        );
    }
}
