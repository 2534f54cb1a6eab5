//! Errors of the SDK, sorted into [`Error::Retryable`] and [`Error::Permanent`] by one table.

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use recovery_core::error::{Error, Fault};

/// An error of any operation, as far as the table needs it.
pub(crate) type SdkError<E> = aws_sdk_ec2::error::SdkError<E>;

/// Codes of every service that say: later.
const LATER: &[&str] = &[
    // EC2: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    "RequestLimitExceeded",
    "InternalError",
    "InternalFailure",
    "Unavailable",
    "ServiceUnavailable",
    "InsufficientCapacity",
    // Not visible yet: EC2 is eventually consistent.
    "InvalidVolume.NotFound",
    "InvalidInstanceID.NotFound",
    "IncorrectState",
    "IncorrectInstanceState",
    // Common to all services:
    // https://docs.aws.amazon.com/AWSEC2/latest/APIReference/CommonErrors.html
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "RequestThrottled",
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "PriorRequestNotComplete",
    "TransactionInProgressException",
    // AWS Backup, SSM, SNS
    "ServiceUnavailableException",
    "InternalServerError",
    "InternalErrorException",
    "InternalServerException",
    "OpsItemConflictException",
    "AutomationExecutionLimitExceededException",
    "KMSThrottlingException",
    "KMSThrottling",
];

/// Codes that say: not with these credentials. The remedy is the same everywhere.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "UnauthorizedOperation",
    "OpsItemAccessDeniedException",
    "KMSAccessDenied",
    "KMSAccessDeniedException",
    "OptInRequired",
];

/// Codes that say: the credentials themselves are no good (any more).
const CREDENTIALS: &[&str] = &[
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "RequestExpired",
];

/// What `error` of `operation` on `subject` means. A code nobody has classified is permanent:
/// it must be seen.
pub(crate) fn classify<E>(
    operation: &'static str,
    subject: impl Into<String>,
    error: SdkError<E>,
) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let subject = subject.into();
    match &error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
            Error::Retryable(
                Fault::new(
                    operation,
                    subject,
                    "the call had no answer, and may have taken effect",
                    "Nothing to do: it is tried again after a look at what is there.",
                )
                .with_source(error),
            )
        }
        SdkError::ServiceError(service_error) => {
            let code = service_error.err().code().unwrap_or("unknown").to_owned();
            let status = service_error.raw().status().as_u16();
            let message = service_error
                .err()
                .message()
                .unwrap_or("the service gave no message")
                .to_owned();
            let fault = |remedy: &str| {
                Fault::new(operation, subject.clone(), message.clone(), remedy)
                    .with_code(code.clone())
            };
            if LATER.contains(&code.as_str()) || status >= 500 || status == 429 {
                Error::Retryable(fault("Nothing to do: it is tried again.").with_source(error))
            } else if DENIED.contains(&code.as_str()) {
                Error::Permanent(
                    fault("Allow the function's role this action on this resource; look for a service control policy or a key policy that denies it.")
                        .with_source(error),
                )
            } else if CREDENTIALS.contains(&code.as_str()) {
                Error::Retryable(
                    fault("Lambda renews the function's credentials; check the clock and the credentials where it runs elsewhere.")
                        .with_source(error),
                )
            } else {
                Error::Permanent(
                    fault("Look the code up in the API reference of the service; this function does not know it.")
                        .with_source(error),
                )
            }
        }
        _ => Error::Permanent(
            Fault::new(
                operation,
                subject,
                "the request could not be built",
                "Report this as a defect of Rapid Recovery, with the input.",
            )
            .with_source(error),
        ),
    }
}

/// The error for an answer that lacks what its API promises.
pub(crate) fn incomplete(operation: &'static str, subject: &str, member: &str) -> Error {
    Error::Permanent(Fault::new(
        operation,
        subject,
        format!("the answer has no {member}"),
        "Look at the resource in the console; report this as a defect of Rapid Recovery if it looks healthy.",
    ))
}

/// The code of a service's error.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}

/// The message of a service's error.
pub(crate) fn message<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::message)
}
