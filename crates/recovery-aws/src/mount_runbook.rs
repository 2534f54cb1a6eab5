//! Systems Manager: the runbook that mounts.

use aws_sdk_ssm::Client;
use recovery_core::aws::automation::{ExecutionState, RunbookExecution};
use recovery_core::error::Error;
use recovery_core::ports::MountRunbook;

use crate::client::{Config, Lazy, client};
use crate::error::{classify, code, incomplete};

const START_AUTOMATION_EXECUTION: &str = "ssm:StartAutomationExecution";
const GET_AUTOMATION_EXECUTION: &str = "ssm:GetAutomationExecution";

/// The runbook in Systems Manager Automation of the recovery Region.
#[derive(Debug)]
pub struct MountRunner {
    client: Lazy<Client>,
    runbook: Option<String>,
}

impl MountRunner {
    /// The IAM actions of the calls of this adapter. Starting the runbook also needs `iam:PassRole` on its role.
    pub const ACTIONS: &'static [&'static str] =
        &[GET_AUTOMATION_EXECUTION, START_AUTOMATION_EXECUTION];

    /// Without the name of a runbook, mounting is switched off.
    pub fn new(config: &Config, runbook: Option<String>) -> MountRunner {
        MountRunner {
            client: client!(config, aws_sdk_ssm),
            runbook,
        }
    }
}

impl MountRunbook for MountRunner {
    fn name(&self) -> Option<&str> {
        self.runbook.as_deref()
    }

    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_StartAutomationExecution.html>
    async fn start(
        &self,
        token: &str,
        parameters: &[(&'static str, Vec<String>)],
    ) -> Result<String, Error> {
        let runbook = self.runbook.as_deref().unwrap_or_default();
        let mut request = self
            .client
            .start_automation_execution()
            .document_name(runbook)
            .client_token(token);
        for (name, values) in parameters {
            request = request.parameters(*name, values.clone());
        }
        request
            .send()
            .await
            .map_err(|error| classify(START_AUTOMATION_EXECUTION, runbook, error))?
            .automation_execution_id
            .ok_or_else(|| incomplete(START_AUTOMATION_EXECUTION, runbook, "AutomationExecutionId"))
    }

    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetAutomationExecution.html>
    async fn describe(&self, execution: &str) -> Result<Option<RunbookExecution>, Error> {
        let answer = self
            .client
            .get_automation_execution()
            .automation_execution_id(execution)
            .send()
            .await;
        let found = match answer {
            Ok(found) => found.automation_execution,
            Err(error) if code(&error) == Some("AutomationExecutionNotFoundException") => {
                return Ok(None);
            }
            Err(error) => return Err(classify(GET_AUTOMATION_EXECUTION, execution, error)),
        };
        let missing = |member| incomplete(GET_AUTOMATION_EXECUTION, execution, member);
        let found = found.ok_or_else(|| missing("AutomationExecution"))?;
        let status = found
            .automation_execution_status
            .ok_or_else(|| missing("AutomationExecutionStatus"))?;
        Ok(Some(RunbookExecution {
            state: ExecutionState::from(status.as_str()),
            outputs: found.outputs.unwrap_or_default().into_iter().collect(),
            failure: found.failure_message,
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const TOKEN: &str = "0a1b2c3d-4e5f-8071-82a3-b4c5d6e7f809";

    fn runner(wire: &Wire) -> MountRunner {
        MountRunner::new(&wire.config(), Some("MountFileSystem".to_owned()))
    }

    #[tokio::test]
    async fn starts_the_runbook_with_token_and_lists() {
        let wire = Wire::answering([Answer::json(&json!({"AutomationExecutionId": "e-1"}))]);
        let parameters = [
            ("InstanceIds", vec!["i-1".to_owned(), "i-2".to_owned()]),
            ("Path", vec!["/data".to_owned()]),
        ];
        let started = runner(&wire).start(TOKEN, &parameters).await.unwrap();
        assert_eq!(started, "e-1");
        assert_eq!(
            wire.only().json(),
            json!({
                "DocumentName": "MountFileSystem",
                "ClientToken": TOKEN,
                "Parameters": {"InstanceIds": ["i-1", "i-2"], "Path": ["/data"]},
            })
        );
    }

    #[tokio::test]
    async fn reads_state_outputs_and_failure() {
        let wire = Wire::answering([Answer::json(&json!({"AutomationExecution": {
            "AutomationExecutionId": "e-1",
            "AutomationExecutionStatus": "Failed",
            "Outputs": {"mount.Results": ["[]"], "mount.Mounted": ["0"]},
            "FailureMessage": "Step fails when it is Verify",
        }}))]);
        let found = runner(&wire).describe("e-1").await.unwrap().unwrap();
        assert_eq!(wire.only().json(), json!({"AutomationExecutionId": "e-1"}));
        assert_eq!(found.state, ExecutionState::Failed("Failed".to_owned()));
        assert_eq!(found.outputs["mount.Results"], ["[]"]);
        assert_eq!(
            found.failure.as_deref(),
            Some("Step fails when it is Verify")
        );
    }

    #[tokio::test]
    async fn an_execution_without_a_state_is_an_error_and_an_unknown_one_is_none() {
        for (answer, missing) in [
            (json!({}), "AutomationExecution"),
            (
                json!({"AutomationExecution": {}}),
                "AutomationExecutionStatus",
            ),
        ] {
            let wire = Wire::answering([Answer::json(&answer)]);
            let error = runner(&wire).describe("e-1").await.unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
        }
        let wire = Wire::answering([Answer::json_error(
            400,
            "AutomationExecutionNotFoundException",
            &json!({"Message": "There is no automation execution"}),
        )]);
        assert_eq!(runner(&wire).describe("e-1").await.unwrap(), None);
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([
            Answer::json(&json!({"AutomationExecution": {"AutomationExecutionStatus": "Success"}})),
            Answer::json(&json!({"AutomationExecutionId": "e-1"})),
        ]);
        runner(&wire).describe("e-1").await.unwrap();
        runner(&wire).start(TOKEN, &[]).await.unwrap();
        assert_eq!(wire.actions(), listed(MountRunner::ACTIONS));
        assert_eq!(
            called_in("ssm", include_str!("mount_runbook.rs")),
            listed(MountRunner::ACTIONS)
        );
    }
}
