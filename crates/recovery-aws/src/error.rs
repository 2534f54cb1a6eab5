//! One table that classifies the errors of the SDK as [`Error::Retryable`] or [`Error::Permanent`].

use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use recovery_core::error::{Error, Fault, OPS_ITEM_QUOTA};

pub(crate) type SdkError<E> = aws_sdk_ec2::error::SdkError<E>;

/// Error codes of all services after which a retry can succeed.
const LATER: &[&str] = &[
    // EC2: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
    "RequestLimitExceeded",
    "EC2ThrottledException",
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
    "Throttled",
    "TooManyRequestsException",
    "RequestThrottled",
    "RequestThrottledException",
    "BandwidthLimitExceeded",
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
    // AWS Backup: too many concurrent jobs.
    "LimitExceededException",
    "OpsItemConflictException",
    // S3: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    "ConditionalRequestConflict",
    // RDS: busy with another change. Its codes of instances have no "Fault", those of clusters do:
    // https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBCluster.html
    "InvalidDBInstanceState",
    "InvalidDBClusterStateFault",
    // A cluster of routing controls: only this endpoint.
    "EndpointTemporarilyUnavailableException",
    // Step Functions: too many concurrent executions.
    "ExecutionLimitExceeded",
    "AutomationExecutionLimitExceededException",
    "KMSThrottlingException",
    "KMSThrottling",
    "KmsThrottlingException",
];

/// Error codes for missing permissions. The remedy is the same for all.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "UnauthorizedOperation",
    "OpsItemAccessDeniedException",
    "KMSAccessDenied",
    "KMSAccessDeniedException",
    "KmsAccessDeniedException",
    "OptInRequired",
];

/// Error codes for invalid or expired credentials.
const CREDENTIALS: &[&str] = &[
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
];

/// Classifies `error` of `operation` on `subject`. A code that is not in the table is permanent, so that a person sees
/// it.
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
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) => Error::Retryable(
            Fault::new(
                operation,
                subject,
                "the call got no answer, and may have taken effect",
                "No action needed. The function reads the current state and retries automatically.",
            )
            .with_source(error),
        ),
        SdkError::ResponseError(response) => {
            let status = response.raw().status().as_u16();
            let message = format!("the answer (HTTP {status}) does not come from the service");
            if status < 400 || later(status) {
                Error::Retryable(
                    Fault::new(
                        operation,
                        subject,
                        format!("{message}; the call may have taken effect"),
                        "No action needed. The function reads the current state and retries automatically.",
                    )
                    .with_source(error),
                )
            } else {
                Error::Permanent(
                    Fault::new(
                        operation,
                        subject,
                        message,
                        "Find out what answers instead of the service: a proxy, a VPC endpoint, a wrong AWS_ENDPOINT_URL.",
                    )
                    .with_source(error),
                )
            }
        }
        SdkError::ServiceError(service_error) => {
            let code = service_error.err().code().unwrap_or("unknown").to_owned();
            let status = service_error.raw().status().as_u16();
            let message = service_error
                .err()
                .message()
                .unwrap_or("the service sent no message")
                .to_owned();
            let fault = |remedy: &str| {
                Fault::new(operation, subject.clone(), message.clone(), remedy)
                    .with_code(code.clone())
            };
            if LATER.contains(&code.as_str()) || later(status) {
                Error::Retryable(
                    fault("No action needed. The call is retried automatically.")
                        .with_source(error),
                )
            } else if DENIED.contains(&code.as_str()) {
                Error::Permanent(
                    fault("Allow this action on this resource in the function's role. If the role allows it, check the service control policies and the key policies.")
                        .with_source(error),
                )
            } else if code == OPS_ITEM_QUOTA {
                Error::Permanent(
                    fault("Request a higher quota of OpsItems in Service Quotas, or stop what creates the most of them. The quota is monthly. All other steps continue without the OpsItem.")
                        .with_source(error),
                )
            } else if CREDENTIALS.contains(&code.as_str()) {
                Error::Retryable(
                    fault("No action needed. Lambda renews the function's credentials, and the call is retried automatically. Outside Lambda, check the clock and the credentials.")
                        .with_source(error),
                )
            } else {
                Error::Permanent(
                    fault("Look up the error code in the API reference of the service: this function does not know it.")
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

/// Whether a retry can succeed after this HTTP status.
fn later(status: u16) -> bool {
    status >= 500 || status == 429
}

/// The error for an answer without a required member.
pub(crate) fn incomplete(operation: &'static str, subject: &str, member: &str) -> Error {
    Error::Permanent(Fault::new(
        operation,
        subject,
        format!("the answer has no {member}"),
        "Check the resource in the console. If it is healthy, report this as a defect of Rapid Recovery.",
    ))
}

pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
}

pub(crate) fn message<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error
        .as_service_error()
        .and_then(ProvideErrorMetadata::message)
}

#[cfg(test)]
mod tests {
    use recovery_core::aws::arn::{OpsItemId, RestoreJobId, VolumeId};
    use recovery_core::notification::Notification;
    use recovery_core::ports::{Notifications, OpsItems, RestoreJobs, StackResources, Volumes};
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire};
    use crate::{Backup, CloudFormation, Ec2, OpsCenter, Topic};

    /// One call of `service`, sent once, with this response.
    async fn failed(service: &str, answer: Answer) -> Error {
        let wire = Wire::answering([answer]);
        let config = wire.config_without_retries();
        let error = match service {
            "ec2" => Volumes::describe(&Ec2::new(&config), &VolumeId::new("vol-1"))
                .await
                .err(),
            "cloudformation" => CloudFormation::new(&config)
                .describe("shop", "Server")
                .await
                .err(),
            "ssm" => OpsCenter::new(&config)
                .get(&OpsItemId::new("oi-1"))
                .await
                .err(),
            "backup" => RestoreJobs::describe(&Backup::new(&config), &RestoreJobId::new("J"))
                .await
                .err(),
            _ => Topic::new(&config, Some("arn:aws:sns:us-west-2:1:t".to_owned()))
                .publish(&Notification {
                    subject: "s".to_owned(),
                    pointer: "p".to_owned(),
                    message: "m".to_owned(),
                    attributes: Vec::new(),
                })
                .await
                .err(),
        };
        assert_eq!(wire.sent().len(), 1);
        error.unwrap()
    }

    /// An error of `service`, in its protocol.
    fn answer(service: &str, status: u16, code: &str) -> Answer {
        let message = "A message of the service";
        match service {
            "ec2" => Answer::ec2_error(status, code, message),
            "ssm" => Answer::json_error(status, code, &json!({"message": message})),
            "backup" => Answer::rest_error(status, code, message),
            _ => Answer::query_error(status, code, message),
        }
    }

    #[tokio::test]
    async fn classifies_every_error_code_of_every_service() {
        const LATER: &str = "Retryable: No action needed. The call is retried automatically.";
        const DENIED: &str = "Permanent: Allow this action on this resource in the function's role";
        const CREDENTIALS: &str =
            "Retryable: No action needed. Lambda renews the function's credentials";
        const UNKNOWN: &str = "Permanent: Look up the error code";
        const QUOTA: &str = "Permanent: Request a higher quota of OpsItems";
        for (service, status, code, expected) in [
            ("ec2", 503, "RequestLimitExceeded", LATER),
            ("ec2", 400, "RequestLimitExceeded", LATER),
            ("ec2", 503, "EC2ThrottledException", LATER),
            ("ec2", 400, "EC2ThrottledException", LATER),
            ("ec2", 500, "InternalError", LATER),
            ("ec2", 503, "Unavailable", LATER),
            ("ec2", 503, "ServiceUnavailable", LATER),
            ("ec2", 500, "NeverHeardOf", LATER),
            ("ec2", 400, "InvalidVolume.NotFound", LATER),
            ("ec2", 403, "UnauthorizedOperation", DENIED),
            ("ec2", 401, "AuthFailure", CREDENTIALS),
            ("ec2", 400, "RequestExpired", CREDENTIALS),
            ("ec2", 400, "ExpiredToken", CREDENTIALS),
            ("ec2", 400, "NeverHeardOf", UNKNOWN),
            ("ec2", 400, "InvalidVolumeID.Malformed", UNKNOWN),
            ("cloudformation", 400, "Throttling", LATER),
            ("cloudformation", 503, "ServiceUnavailable", LATER),
            ("cloudformation", 500, "InternalFailure", LATER),
            ("cloudformation", 408, "RequestTimeout", LATER),
            ("cloudformation", 403, "AccessDenied", DENIED),
            ("cloudformation", 403, "OptInRequired", DENIED),
            ("cloudformation", 403, "ExpiredToken", CREDENTIALS),
            ("cloudformation", 403, "InvalidClientTokenId", CREDENTIALS),
            ("cloudformation", 403, "SignatureDoesNotMatch", CREDENTIALS),
            ("cloudformation", 400, "ValidationError", UNKNOWN),
            ("ssm", 400, "ThrottlingException", LATER),
            ("ssm", 400, "RequestLimitExceeded", LATER),
            ("ssm", 500, "InternalServerError", LATER),
            ("ssm", 503, "ServiceUnavailableException", LATER),
            ("ssm", 409, "OpsItemConflictException", LATER),
            ("ssm", 400, "AccessDeniedException", DENIED),
            ("ssm", 403, "OpsItemAccessDeniedException", DENIED),
            ("ssm", 400, "ExpiredTokenException", CREDENTIALS),
            ("ssm", 400, "UnrecognizedClientException", CREDENTIALS),
            ("ssm", 403, "InvalidSignatureException", CREDENTIALS),
            ("ssm", 400, "OpsItemNotFoundException", UNKNOWN),
            ("ssm", 400, "OpsItemLimitExceededException", QUOTA),
            ("ssm", 400, "OpsItemInvalidParameterException", UNKNOWN),
            ("backup", 400, "ThrottlingException", LATER),
            ("backup", 400, "LimitExceededException", LATER),
            ("backup", 429, "TooManyRequestsException", LATER),
            ("backup", 500, "ServiceUnavailableException", LATER),
            ("backup", 500, "DependencyFailureException", LATER),
            ("backup", 403, "AccessDeniedException", DENIED),
            ("backup", 403, "ExpiredTokenException", CREDENTIALS),
            ("backup", 403, "UnrecognizedClientException", CREDENTIALS),
            ("backup", 400, "ResourceNotFoundException", UNKNOWN),
            ("backup", 400, "InvalidParameterValueException", UNKNOWN),
            ("sns", 400, "Throttling", LATER),
            ("sns", 400, "Throttled", LATER),
            ("sns", 429, "Throttled", LATER),
            ("sns", 500, "InternalError", LATER),
            ("sns", 400, "KMSThrottling", LATER),
            ("sns", 403, "AuthorizationError", DENIED),
            ("sns", 400, "KMSAccessDenied", DENIED),
            ("sns", 403, "ExpiredToken", CREDENTIALS),
            ("sns", 404, "NotFound", UNKNOWN),
            ("sns", 400, "KMSDisabled", UNKNOWN),
        ] {
            let error = failed(service, answer(service, status, code)).await;
            let fault = error.fault();
            let actual = format!("{}: {}", error.error_type(), fault.remedy());
            assert!(
                actual.starts_with(expected),
                "{service} {status} {code}: {actual}"
            );
            assert_eq!(fault.code(), Some(code), "{service}");
            assert_eq!(fault.message(), "A message of the service", "{service}");
        }
    }

    #[tokio::test]
    async fn call_without_a_response_may_have_taken_effect() {
        for service in ["ec2", "cloudformation", "ssm", "backup", "sns"] {
            for answer in [Answer::Silence, Answer::Refused] {
                let error = failed(service, answer).await;
                assert_eq!(error.error_type(), "Retryable");
                assert!(
                    error.to_string().contains("may have taken effect"),
                    "{error}"
                );
                assert!(std::error::Error::source(error.fault()).is_some());
            }
        }
    }

    /// A proxy or a load balancer responds instead of the service.
    #[tokio::test]
    async fn classifies_responses_of_proxies_by_http_status() {
        for (status, expected) in [(502, "Retryable"), (429, "Retryable"), (404, "Permanent")] {
            for service in ["ec2", "cloudformation", "ssm", "backup", "sns"] {
                let page = Answer::Reply {
                    status,
                    headers: vec![("content-type", "text/html".to_owned())],
                    body: "<html><body>Not here".to_owned(),
                };
                let error = failed(service, page).await;
                assert_eq!(error.error_type(), expected, "{service} {status}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn message_names_operation_resource_cause_and_remedy() {
        let error = failed(
            "ec2",
            Answer::ec2_error(
                403,
                "UnauthorizedOperation",
                "You are not authorized to perform this operation.",
            ),
        )
        .await;
        assert_eq!(
            error.to_string(),
            "ec2:DescribeVolumes on vol-1 failed (UnauthorizedOperation): You are not authorized to perform this operation. \
             Allow this action on this resource in the function's role. If the role allows it, check the service control policies and the key policies."
        );
        let error = failed(
            "ssm",
            Answer::json_error(400, "OpsItemNotFoundException", &json!({})),
        )
        .await;
        assert!(
            error
                .to_string()
                .starts_with("ssm:GetOpsItem on oi-1 failed (OpsItemNotFoundException): the service sent no message. Look"),
            "{error}"
        );
    }
}
