//! Systems Manager Automation: executions of runbooks.

use std::collections::BTreeMap;

/// An execution of a runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunbookExecution {
    pub state: ExecutionState,
    /// The outputs of the runbook, such as `mount.Results`.
    pub outputs: BTreeMap<String, Vec<String>>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// The state of an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutionState {
    /// It runs, or has a state that is not known.
    Running,
    Succeeded,
    /// It failed, was cancelled or timed out: the word of AWS.
    Failed(String),
}

impl From<&str> for ExecutionState {
    /// <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_AutomationExecution.html>
    fn from(word: &str) -> ExecutionState {
        match word {
            "Success" | "CompletedWithSuccess" => ExecutionState::Succeeded,
            "Failed"
            | "TimedOut"
            | "Cancelled"
            | "Rejected"
            | "CompletedWithFailure"
            | "Exited" => ExecutionState::Failed(word.to_owned()),
            _ => ExecutionState::Running,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_runs_until_it_says_that_it_has_ended() {
        for word in [
            "Pending",
            "InProgress",
            "Waiting",
            "Cancelling",
            "PendingApproval",
            "Scheduled",
            "RunbookInProgress",
            "unheard-of",
        ] {
            assert_eq!(
                ExecutionState::from(word),
                ExecutionState::Running,
                "{word}"
            );
        }
        for word in ["Success", "CompletedWithSuccess"] {
            assert_eq!(ExecutionState::from(word), ExecutionState::Succeeded);
        }
        for word in ["Failed", "TimedOut", "Cancelled", "Exited"] {
            assert_eq!(
                ExecutionState::from(word),
                ExecutionState::Failed(word.to_owned())
            );
        }
    }
}
