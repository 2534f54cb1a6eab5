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
/// Time for a call with all its attempts: a third of the functions' timeout of 60 s, so that a
/// function can still write down what became of it.
const OPERATION: Duration = Duration::from_secs(20);
/// Attempts at a call that was throttled or failed on the way.
const ATTEMPTS: u32 = 4;

/// Region and credentials as Lambda sets them, and `AWS_ENDPOINT_URL` for the local Region.
pub async fn load_config() -> Config {
    // ring instead of the default provider: see Cargo.toml.
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(OPERATION)
                .build(),
        )
        .load()
        .await
}
