//! Step Functions: the state machine of a recovery.

use aws_sdk_sfn::Client;
use recovery_core::aws::arn::Arn;
use recovery_core::aws::step_functions::Execution;
use recovery_core::error::{Error, Fault};
use recovery_core::ports::RecoveryExecutions;

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code};

/// A state machine in the recovery Region, and its executions.
#[derive(Debug)]
pub struct StateMachine {
    client: Lazy<Client>,
    arn: String,
}

const DESCRIBE_EXECUTION: &str = "states:DescribeExecution";
const START_EXECUTION: &str = "states:StartExecution";

impl StateMachine {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[DESCRIBE_EXECUTION, START_EXECUTION];

    /// A client on `config` for the state machine of this ARN.
    pub fn new(config: &Config, arn: String) -> StateMachine {
        StateMachine {
            client: client!(config, aws_sdk_sfn),
            arn,
        }
    }

    /// The ARN of its execution of this name.
    fn execution(&self, name: &str) -> Result<String, Error> {
        let arn = Arn::parse(&self.arn)?;
        let machine = arn
            .resource()
            .strip_prefix("stateMachine:")
            .ok_or_else(|| {
                Error::Permanent(Fault::new(
                    DESCRIBE_EXECUTION,
                    self.arn.as_str(),
                    "this is not the ARN of a state machine",
                    "Deploy the template again: it sets STATE_MACHINE_ARN.",
                ))
            })?;
        Ok(format!(
            "arn:{}:states:{}:{}:execution:{machine}:{name}",
            arn.partition(),
            arn.region(),
            arn.account()
        ))
    }
}

impl RecoveryExecutions for StateMachine {
    /// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html>
    async fn describe(&self, name: &str) -> Result<Option<Execution>, Error> {
        let arn = self.execution(name)?;
        let answer = self
            .client
            .describe_execution()
            .execution_arn(&arn)
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Some(Execution {
                arn: answer.execution_arn,
                status: answer.status.as_str().to_owned(),
                error: answer.error,
                cause: answer.cause,
            })),
            Err(error) if code(&error) == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => Err(classify(DESCRIBE_EXECUTION, arn, error)),
        }
    }

    /// Starting an open execution again with the same input succeeds. Any other start with the same name is refused until
    /// 90 days after its end:
    /// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html>.
    async fn start(&self, name: &str, input: &str) -> Result<(), Error> {
        let answer = self
            .client
            .start_execution()
            .state_machine_arn(&self.arn)
            .name(name)
            .input(input)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("ExecutionAlreadyExists") => Ok(()),
            Err(error) => Err(classify(START_EXECUTION, self.execution(name)?, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const MACHINE: &str =
        "arn:aws-cn:states:cn-northwest-1:111122223333:stateMachine:rapid-region-recovery";
    const EXECUTION: &str =
        "arn:aws-cn:states:cn-northwest-1:111122223333:execution:rapid-region-recovery:shop-1";

    fn machine(wire: &Wire) -> StateMachine {
        StateMachine::new(&wire.config(), MACHINE.to_owned())
    }

    fn execution(status: &str, more: &Value) -> Answer {
        let mut body = json!({
            "executionArn": EXECUTION,
            "stateMachineArn": MACHINE,
            "name": "shop-1",
            "status": status,
            "startDate": 1_795_413_000.25,
        });
        for (member, value) in more.as_object().into_iter().flatten() {
            body[member] = value.clone();
        }
        Answer::json(&body)
    }

    fn refused(status: u16, code: &str) -> Answer {
        Answer::json_error(
            status,
            code,
            &json!({"message": "A message of the service"}),
        )
    }

    #[tokio::test]
    async fn finds_an_execution_by_name_with_error_and_cause() {
        let wire = Wire::answering([execution(
            "FAILED",
            &json!({"error": "Permanent", "cause": "incomplete"}),
        )]);
        let found = machine(&wire).describe("shop-1").await.unwrap();
        assert_eq!(
            found,
            Some(Execution {
                arn: EXECUTION.to_owned(),
                status: "FAILED".to_owned(),
                error: Some("Permanent".to_owned()),
                cause: Some("incomplete".to_owned()),
            })
        );
        assert_eq!(wire.only().json(), json!({"executionArn": EXECUTION}));
        // Unknown statuses are kept.
        for status in ["RUNNING", "SUCCEEDED", "A_NEW_ONE"] {
            let wire = Wire::answering([execution(status, &json!({}))]);
            let found = machine(&wire).describe("shop-1").await.unwrap().unwrap();
            assert_eq!((found.status.as_str(), found.error), (status, None));
        }
        let wire = Wire::answering([refused(400, "ExecutionDoesNotExist")]);
        assert_eq!(machine(&wire).describe("shop-1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn starts_an_execution_by_name_and_accepts_an_existing_one() {
        let started = Answer::json(&json!({"executionArn": EXECUTION, "startDate": 1}));
        for answer in [started, refused(400, "ExecutionAlreadyExists")] {
            let wire = Wire::answering([answer]);
            let input = json!({"workload": "shop"}).to_string();
            machine(&wire).start("shop-1", &input).await.unwrap();
            assert_eq!(
                wire.only().json(),
                json!({"stateMachineArn": MACHINE, "name": "shop-1", "input": input})
            );
        }
    }

    #[tokio::test]
    async fn classifies_every_error_code() {
        for (code, expected) in [
            ("ExecutionLimitExceeded", "Retryable"),
            ("ThrottlingException", "Retryable"),
            ("KmsThrottlingException", "Retryable"),
            ("AccessDeniedException", "Permanent"),
            ("KmsAccessDeniedException", "Permanent"),
            ("KmsInvalidStateException", "Permanent"),
            ("InvalidArn", "Permanent"),
            ("InvalidExecutionInput", "Permanent"),
            ("InvalidName", "Permanent"),
            ("StateMachineDeleting", "Permanent"),
            ("StateMachineDoesNotExist", "Permanent"),
            ("ValidationException", "Permanent"),
        ] {
            let wire = Wire::answering(vec![refused(400, code); 4]);
            let error = machine(&wire).start("shop-1", "{}").await.unwrap_err();
            assert_eq!(error.error_type(), expected, "start: {code}");
            assert_eq!(error.fault().subject(), EXECUTION);
            let wire = Wire::answering(vec![refused(400, code); 4]);
            let error = machine(&wire).describe("shop-1").await.unwrap_err();
            assert_eq!(error.error_type(), expected, "describe: {code}");
        }
        let wire = Wire::answering([]);
        let queue = "arn:aws:sqs:us-west-2:111122223333:queue".to_owned();
        let error = StateMachine::new(&wire.config(), queue)
            .describe("shop-1")
            .await
            .unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([
            execution("RUNNING", &json!({})),
            Answer::json(&json!({"executionArn": EXECUTION, "startDate": 1})),
        ]);
        machine(&wire).describe("shop-1").await.unwrap();
        machine(&wire).start("shop-1", "{}").await.unwrap();
        assert_eq!(wire.actions(), listed(StateMachine::ACTIONS));
        assert_eq!(
            called_in("states", include_str!("state_machine.rs")),
            listed(StateMachine::ACTIONS)
        );
    }
}
