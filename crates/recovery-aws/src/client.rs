//! How every client reaches AWS.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls;

/// The shared configuration of all clients.
pub type Config = aws_config::SdkConfig;

/// Time for a connection. AWS endpoints answer within milliseconds inside a Region.
const CONNECT: Duration = Duration::from_secs(2);
/// Time for one attempt at a call.
const ATTEMPT: Duration = Duration::from_secs(6);
/// Time for a call with all its attempts: several fit into the shortest timeout of a function
/// (120 s), so that it can still write down what became of it.
const OPERATION: Duration = Duration::from_secs(20);
/// Attempts at a call that was throttled or failed on the way.
const ATTEMPTS: u32 = 4;

/// Retries with growing pauses, by the SDK's own classification.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

/// How long a call may take.
pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}

/// The defaults of the SDK that were tested with this system.
pub(crate) fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Region and credentials as Lambda sets them, and `AWS_ENDPOINT_URL` for the local Region.
pub async fn load_config() -> Config {
    // ring instead of the default provider: see Cargo.toml.
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    aws_config::defaults(behavior())
        .http_client(http_client)
        .retry_config(retries())
        .timeout_config(timeouts())
        .load()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire};
    use recovery_core::arn::OpsItemId;
    use recovery_core::error::Error;
    use recovery_core::ports::OpsItems;

    async fn asked(answer: Answer) -> (usize, Error) {
        let wire = Wire::answering(vec![answer; 10]);
        let error = crate::OpsCenter::new(&wire.config())
            .get(&OpsItemId::new("oi-1"))
            .await
            .unwrap_err();
        (wire.sent().len(), error)
    }

    #[tokio::test]
    async fn a_service_out_of_reach_is_given_up_after_four_attempts() {
        let (attempts, error) = asked(Answer::Refused).await;
        assert_eq!(attempts, 4);
        assert_eq!(error.error_type(), "Retryable");
        // Silence takes more of the time there is.
        let (attempts, error) = asked(Answer::Silence).await;
        assert!((3..=4).contains(&attempts), "{attempts}");
        assert_eq!(error.error_type(), "Retryable");
    }

    /// So that a function that lives for 60 s can still write down what became of a call.
    #[test]
    fn every_call_ends_within_a_third_of_a_functions_time() {
        let timeouts = timeouts();
        assert!(timeouts.operation_timeout() <= Some(Duration::from_secs(20)));
        assert!(timeouts.operation_attempt_timeout() <= timeouts.operation_timeout());
        assert!(timeouts.connect_timeout() < timeouts.operation_attempt_timeout());
    }
}
