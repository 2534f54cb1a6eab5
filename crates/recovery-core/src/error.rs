//! The two kinds of failure, and what each tells the one who must act.

use std::fmt;

use crate::text;

/// Why a step did not happen. There are only two kinds, and they are the `errorType`s that the
/// functions report, so that a Step Functions `Retry` or `Catch` can tell them apart.
///
/// What is not a failure is an [`Outcome`](crate::outcome::Outcome): ignored, already done, refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Trying again later can succeed: throttled, timed out, not there yet.
    #[error("{0}")]
    Retryable(#[source] Fault),
    /// Trying again cannot succeed until someone changes something: access denied, malformed input.
    /// An error code nobody has classified is permanent too: it must be seen.
    #[error("{0}")]
    Permanent(#[source] Fault),
}

/// OpsCenter's answer where the account has created as many OpsItems as its quota allows in a month:
/// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>.
pub const OPS_ITEM_QUOTA: &str = "OpsItemLimitExceededException";

impl Error {
    /// Whether OpsCenter's quota lets no OpsItem be created.
    pub fn is_ops_item_quota(&self) -> bool {
        self.fault().code() == Some(OPS_ITEM_QUOTA)
    }

    /// The `errorType` of the Lambda error response: `Retryable` or `Permanent`.
    pub fn error_type(&self) -> &'static str {
        match self {
            Error::Retryable(_) => "Retryable",
            Error::Permanent(_) => "Permanent",
        }
    }

    /// What both kinds carry.
    pub fn fault(&self) -> &Fault {
        match self {
            Error::Retryable(fault) | Error::Permanent(fault) => fault,
        }
    }
}

/// What failed, on what, with which code, and what to do about it.
#[derive(Debug)]
pub struct Fault(Box<Details>);

/// On the heap, so that a `Result` with an [`Error`] stays small.
#[derive(Debug)]
struct Details {
    operation: &'static str,
    subject: String,
    code: Option<String>,
    message: String,
    remedy: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A fault of `operation` (an IAM action such as `ec2:AttachVolume`, or `parse event`) on
    /// `subject` (the id of what it was about); `message` says what went wrong and `remedy` what
    /// lifts it. Subject and message can come from elsewhere: they are brought to one line each, and
    /// what is too long for a log is cut. The longest that AWS is known to send, an encoded
    /// authorization message, stays whole.
    pub fn new(
        operation: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Fault {
        Fault(Box::new(Details {
            operation,
            subject: line(&subject.into(), 300),
            code: None,
            message: line(&message.into(), 3_000),
            remedy: remedy.into(),
            source: None,
        }))
    }

    /// Adds the error code of the service, verbatim.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Fault {
        self.0.code = Some(code.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Fault {
        self.0.source = Some(source.into());
        self
    }

    /// The operation that failed.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Whether the operation changes nothing.
    pub fn is_read_only(&self) -> bool {
        let (_, operation) = self.0.operation.split_once(':').unwrap_or_default();
        ["Describe", "Get", "List"]
            .iter()
            .any(|look| operation.starts_with(look))
    }

    /// The id of what the operation was about.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The error code of the service, where there was one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What went wrong, in the service's words where it said something.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What lifts it.
    pub fn remedy(&self) -> &str {
        &self.0.remedy
    }
}

fn line(text: &str, limit: usize) -> String {
    text::within(&text::one_line(text), limit)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} failed", self.0.operation, self.0.subject)?;
        if let Some(code) = &self.0.code {
            write!(f, " ({code})")?;
        }
        write!(
            f,
            ": {}. {}",
            self.0.message.trim_end_matches('.'),
            self.0.remedy
        )
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}
