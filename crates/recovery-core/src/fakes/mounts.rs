//! The runbook that mounts.

use std::collections::BTreeMap;

use serde_json::json;

use crate::aws::automation::{ExecutionState, RunbookExecution};
use crate::error::Error;
use crate::fakes::{World, acceptable};
use crate::integrate::mount::answer::RESULTS;
use crate::ports::MountRunbook;

/// An execution: its token and its parameters.
pub type MountExecution = (String, Vec<(&'static str, Vec<String>)>);

/// The runbook, and its executions.
#[derive(Debug, Clone, Default)]
pub struct Mounts {
    /// Whether there is a runbook.
    pub is_on: bool,
    /// The executions, in the order of their start.
    pub executions: Vec<MountExecution>,
    /// Whether executions do not end.
    pub run_on: bool,
    /// Whether executions fail without answers.
    pub lose_answers: bool,
    /// How instances fail: outcome, reason, and in how many executions, the first ones.
    pub failures: BTreeMap<String, (&'static str, &'static str, usize)>,
}

impl Mounts {
    /// With a runbook that mounts everywhere.
    pub fn on() -> Mounts {
        Mounts {
            is_on: true,
            ..Mounts::default()
        }
    }

    /// How an execution stands.
    fn execution(&self, token: &str) -> Option<RunbookExecution> {
        let (number, (_, parameters)) = self
            .executions
            .iter()
            .enumerate()
            .find(|(_, (known, _))| known == token)?;
        let ended = |state, outputs, failure: Option<&str>| RunbookExecution {
            state,
            outputs,
            failure: failure.map(str::to_owned),
        };
        if self.run_on {
            return Some(ended(ExecutionState::Running, BTreeMap::new(), None));
        }
        let failed = || ExecutionState::Failed("Failed".to_owned());
        if self.lose_answers {
            let failure = Some("Step mount timed out");
            return Some(ended(failed(), BTreeMap::new(), failure));
        }
        let value = |name: &str| {
            let given = parameters.iter().find(|(given, _)| *given == name);
            given
                .map(|(_, values)| values.as_slice())
                .unwrap_or_default()
        };
        let finds = value("Operation") == ["find-restored-directory"];
        let mut all_done = true;
        let answers: Vec<_> = value("InstanceIds")
            .iter()
            .map(|instance| match self.failures.get(instance) {
                Some((outcome, reason, times)) if number < *times => {
                    all_done = false;
                    json!({
                        "instanceId": instance, "outcome": outcome, "reason": reason,
                        "found": format!("found on {instance}"), "remedy": format!("Correct {reason}."),
                    })
                }
                _ if finds => json!({
                    "instanceId": instance, "outcome": "found",
                    "directory": "/aws-backup-restore_2026-11-23T03-10-00-000Z",
                }),
                _ if value("Type") == ["EFS"] => json!({
                    "instanceId": instance, "outcome": "mounted", "transport": "tls", "persistent": "fstab",
                }),
                _ => json!({
                    "instanceId": instance, "outcome": "mounted", "device": "/dev/nvme1n1",
                    "fileSystem": "xfs", "persistent": "fstab",
                }),
            })
            .collect();
        let outputs = [(RESULTS.to_owned(), vec![json!(answers).to_string()])].into();
        Some(if all_done {
            ended(ExecutionState::Succeeded, outputs, None)
        } else {
            ended(failed(), outputs, Some("not mounted everywhere"))
        })
    }
}

impl MountRunbook for World {
    fn name(&self) -> Option<&str> {
        self.state().mounts.is_on.then_some("MountFileSystem")
    }

    async fn start(
        &self,
        token: &str,
        parameters: &[(&'static str, Vec<String>)],
    ) -> Result<String, Error> {
        self.call("ssm:StartAutomationExecution", "MountFileSystem", |state| {
            let values = parameters.iter().flat_map(|(_, values)| values);
            state
                .problems
                .extend(values.filter_map(|value| acceptable::key(value)));
            // The API refuses a parameter with more values.
            for (name, values) in parameters.iter().filter(|(_, values)| values.len() > 50) {
                let count = values.len();
                state
                    .problems
                    .push(format!("the parameter {name} with {count} values"));
            }
            let executions = &mut state.mounts.executions;
            match executions.iter().find(|(known, _)| known == token) {
                Some((_, earlier)) if earlier != parameters => state
                    .problems
                    .push(format!("the token {token} with other parameters")),
                Some(_) => {}
                None => executions.push((token.to_owned(), parameters.to_vec())),
            }
            Ok(format!("execution-{token}"))
        })
    }

    async fn describe(&self, execution: &str) -> Result<Option<RunbookExecution>, Error> {
        self.call("ssm:GetAutomationExecution", execution, |state| {
            let token = execution.strip_prefix("execution-").unwrap_or_default();
            Ok(state.mounts.execution(token))
        })
    }
}
