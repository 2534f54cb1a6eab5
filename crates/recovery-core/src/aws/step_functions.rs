//! Step Functions: executions of the state machine of a recovery.

/// An execution of the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    pub arn: String,
    /// `RUNNING`, …
    pub status: String,
    /// The name of the error, if it has failed.
    pub error: Option<String>,
    /// The cause, if it has failed.
    pub cause: Option<String>,
}
