//! Errors in the format of Lambda.

use lambda_runtime::Diagnostic;
use recovery_core::error::Error;

/// An [`Error`] for Lambda: its kind becomes the `errorType`.
///
/// The runtime logs the `Debug` form of an error once. Here that is the message.
pub struct Failure(pub Error);

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.error_type(), message(&self.0))
    }
}

impl From<Failure> for Diagnostic {
    fn from(Failure(error): Failure) -> Diagnostic {
        Diagnostic {
            error_type: error.error_type().to_owned(),
            error_message: message(&error),
        }
    }
}

/// The error and, in brackets, its causes.
fn message(error: &Error) -> String {
    let mut message = error.to_string();
    let mut causes = Vec::new();
    let mut source = std::error::Error::source(error.fault());
    while let Some(cause) = source {
        let text = cause.to_string();
        if !causes.contains(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    if !causes.is_empty() {
        message.push_str(&format!(" (caused by: {})", causes.join(": ")));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use recovery_core::error::Fault;

    #[test]
    fn reports_type_message_and_cause_to_lambda() {
        let fault = || {
            Fault::new("ec2:AttachVolume", "vol-1", "no answer", "Retry.")
                .with_code("RequestTimeout")
                .with_source(std::io::Error::other("connection reset"))
        };
        let check = |error: Error, kind: &str| {
            let diagnostic = Diagnostic::from(Failure(error));
            assert_eq!(diagnostic.error_type, kind);
            assert_eq!(
                diagnostic.error_message,
                "ec2:AttachVolume on vol-1 failed (RequestTimeout): no answer. Retry. (caused by: connection reset)"
            );
        };
        check(Error::Retryable(fault()), "Retryable");
        check(Error::Permanent(fault()), "Permanent");
    }
}
