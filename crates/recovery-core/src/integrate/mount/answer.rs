//! What the runbook answers for each instance.

use serde::Deserialize;

use crate::aws::automation::RunbookExecution;

/// The output of the runbook with the answers: a JSON list.
pub const RESULTS: &str = "mount.Results";
/// The reason of an instance whose agent did not connect.
pub(crate) const AGENT_NOT_CONNECTED: &str = "agent-not-connected";

/// How it ended on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountOutcome {
    Mounted,
    /// The path was mounted from this source before.
    AlreadyMounted,
    /// The directory was found.
    Found,
    /// A rule of the script forbids it.
    Refused,
    /// A later run may succeed.
    Retry,
    /// An outcome that is not known.
    #[serde(other)]
    Unknown,
}

impl MountOutcome {
    /// Whether the instance has what was asked for.
    pub(crate) fn is_done(self) -> bool {
        matches!(
            self,
            MountOutcome::Mounted | MountOutcome::AlreadyMounted | MountOutcome::Found
        )
    }
}

/// The answer of an instance. The texts come from the guest operating system.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceAnswer {
    pub instance_id: String,
    pub outcome: MountOutcome,
    /// Of `refused` and `retry`.
    pub reason: Option<String>,
    /// What was found.
    pub found: Option<String>,
    /// What a person must do.
    pub remedy: Option<String>,
    pub device: Option<String>,
    pub file_system: Option<String>,
    /// How EFS is mounted: `tls`, `tls-iam` or `nfs`.
    pub transport: Option<String>,
    /// The directory into which EFS was restored.
    pub directory: Option<String>,
}

/// The answers of an execution; `None` if it has none that can be read.
pub(crate) fn answers(execution: &RunbookExecution) -> Option<Vec<InstanceAnswer>> {
    let [json] = execution.outputs.get(RESULTS)?.as_slice() else {
        return None;
    };
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::automation::ExecutionState;

    fn read(results: &[&str]) -> Option<Vec<InstanceAnswer>> {
        let values = results.iter().map(|value| (*value).to_owned()).collect();
        answers(&RunbookExecution {
            state: ExecutionState::Succeeded,
            outputs: [(RESULTS.to_owned(), values)].into(),
            failure: None,
        })
    }

    #[test]
    fn reads_the_answers_of_the_script() {
        let json = r#"[{"instanceId":"i-1","outcome":"mounted","type":"EBS","path":"/data","device":"/dev/nvme1n1",
            "fileSystem":"xfs","persistent":"fstab","commandId":"c"},
            {"instanceId":"i-2","outcome":"refused","reason":"swap","found":"f","remedy":"r"},
            {"instanceId":"i-3","outcome":"exploded"}]"#;
        let found = read(&[json]).unwrap();
        assert_eq!(found[0].file_system.as_deref(), Some("xfs"));
        assert_eq!(found[1].reason.as_deref(), Some("swap"));
        let done: Vec<bool> = found.iter().map(|it| it.outcome.is_done()).collect();
        assert_eq!(done, [true, false, false]);
    }

    #[test]
    fn what_is_not_a_list_of_answers_is_none() {
        for results in [&[][..], &[""], &["{}"], &["[{}]"], &["[]", "[]"]] {
            assert_eq!(read(results), None, "{results:?}");
        }
        assert_eq!(read(&["[]"]), Some(Vec::new()));
    }
}
