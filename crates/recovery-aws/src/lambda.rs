//! Lambda: functions of this deployment.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use recovery_core::error::Error;
use recovery_core::ports::Functions;
use serde_json::Value;

use crate::client::{Config, Lazy, client};
use crate::error::classify;

/// Lambda in the recovery Region.
#[derive(Debug)]
pub struct Invoker {
    client: Lazy<Client>,
}

/// The IAM action of the operation Invoke.
const INVOKE_FUNCTION: &str = "lambda:InvokeFunction";

impl Invoker {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[INVOKE_FUNCTION];

    pub fn new(config: &Config) -> Invoker {
        Invoker {
            client: client!(config, aws_sdk_lambda),
        }
    }
}

impl Functions for Invoker {
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>
    async fn invoke(&self, function: &str, payload: &Value) -> Result<(), Error> {
        self.client
            .invoke()
            .function_name(function)
            .invocation_type(InvocationType::Event)
            .payload(Blob::new(payload.to_string()))
            .send()
            .await
            .map(drop)
            .map_err(|error| classify(INVOKE_FUNCTION, function, error))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire};

    #[tokio::test]
    async fn invokes_without_waiting_for_the_answer() {
        let wire = Wire::answering([Answer::rest(&json!({}))]);
        Invoker::new(&wire.config())
            .invoke("database-integrator", &json!({"restoreJobId": "job-1"}))
            .await
            .unwrap();
        let sent = wire.only();
        assert_eq!(sent.header("x-amz-invocation-type"), Some("Event"));
        assert_eq!(sent.json(), json!({"restoreJobId": "job-1"}));
        assert_eq!(wire.actions(), crate::wire::listed(Invoker::ACTIONS));
    }

    #[tokio::test]
    async fn reports_a_missing_function() {
        let wire = Wire::answering([Answer::rest_error(
            404,
            "ResourceNotFoundException",
            "Function not found",
        )]);
        let error = Invoker::new(&wire.config())
            .invoke("database-integrator", &json!({}))
            .await
            .unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_eq!(error.fault().subject(), "database-integrator");
    }
}
