//! SNS: the people on call.

use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use recovery_core::error::Error;
use recovery_core::ports::{Notification, Notifications};

use crate::client::Config;
use crate::error::classify;

/// The topic that people subscribe to, or none where notification is off.
#[derive(Debug)]
pub struct Topic {
    client: Client,
    arn: Option<String>,
}

const PUBLISH: &str = "sns:Publish";

impl Topic {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[PUBLISH];

    /// A client on `config` for the topic `arn`.
    pub fn new(config: &Config, arn: Option<String>) -> Topic {
        Topic {
            client: Client::new(config),
            arn,
        }
    }
}

impl Notifications for Topic {
    /// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
    async fn notify(&self, notification: &Notification) -> Result<(), Error> {
        let Some(arn) = &self.arn else {
            return Ok(());
        };
        let mut request = self
            .client
            .publish()
            .topic_arn(arn)
            .subject(notification.limited_subject())
            .message(notification.limited_message());
        for (name, value) in &notification.attributes {
            let value =
                MessageAttributeValue::builder()
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
