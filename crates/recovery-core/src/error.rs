//! The two kinds of failure: one that a retry can fix, and one that needs a person.

use std::fmt;

use crate::text;

/// The error of a step. Its two kinds are the `errorType`s of the functions, so that a `Retry` or `Catch`
/// of Step Functions can distinguish them.
///
/// Ignored, already done and refused are not errors: see [`Outcome`](crate::outcome::Outcome).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A retry can succeed: throttled, timed out, does not exist yet.
    #[error("{0}")]
    Retryable(#[source] Fault),
    /// A retry cannot succeed until someone changes something: access denied, malformed input. An error
    /// code that is not classified is permanent, too, so that a person sees it.
    #[error("{0}")]
    Permanent(#[source] Fault),
}

/// The error code of OpsCenter when the account has used up its monthly quota of OpsItems:
/// <https://docs.aws.amazon.com/general/latest/gr/ssm.html>.
pub const OPS_ITEM_QUOTA: &str = "OpsItemLimitExceededException";

impl Error {
    /// Whether OpsCenter's quota is used up.
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

    pub fn fault(&self) -> &Fault {
        match self {
            Error::Retryable(fault) | Error::Permanent(fault) => fault,
        }
    }
}

/// What failed, on which resource, with which error code, and the remedy.
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
    /// `operation` is an IAM action such as `ec2:AttachVolume`, or for example `parse event`. `subject` is
    /// the id of the resource. Subject and message may contain foreign text: each becomes one line, and is
    /// cut at 300 and 3,000 bytes. The longest known message of AWS, an encoded authorization message, fits.
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

    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Whether the operation changes nothing.
    pub fn is_read_only(&self) -> bool {
        let (_, operation) = self.0.operation.split_once(':').unwrap_or_default();
        ["Describe", "Get", "List"]
            .iter()
            .any(|verb| operation.starts_with(verb))
    }

    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The error code of the service, if it returned one.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What went wrong, in the words of the service if it sent any.
    pub fn message(&self) -> &str {
        &self.0.message
    }

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
