//! Step Functions: executions of the state machine of a recovery.

/// An execution of the state machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its ARN.
    pub arn: String,
    /// `RUNNING`, …
    pub status: String,
    /// Of one that has failed: the name of the error.
    pub error: Option<String>,
    /// Of one that has failed: the cause.
    pub cause: Option<String>,
}
