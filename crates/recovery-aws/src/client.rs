//! How every client reaches AWS.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use recovery_core::calls::Calls;

/// The shared configuration of all clients.
#[derive(Debug, Clone)]
pub struct Config {
    /// Region, credentials, timeouts, retries.
    pub(crate) sdk: aws_config::SdkConfig,
    pub(crate) calls: Calls,
}

impl Config {
    /// The calls that are made through clients on this configuration.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// What notes them, for each client.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder(self.calls.clone())
    }
}

/// Notes each call of a client when it begins and when it has its answer.
#[derive(Debug)]
pub(crate) struct Recorder(Calls);

impl Recorder {
    /// The IAM action of the call, by the names that the SDK has for service and operation.
    fn action(cfg: &ConfigBag) -> Option<String> {
        let call = cfg.load::<Metadata>()?;
        Some(format!("{}:{}", call.service().to_lowercase(), call.name()))
    }
}

impl Intercept for Recorder {
    fn name(&self) -> &'static str {
        "Recorder"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(action) = Self::action(cfg) {
            self.0.began(&action);
        }
        Ok(())
    }

    fn read_after_execution(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(action) = Self::action(cfg) {
            self.0.ended(&action);
        }
        Ok(())
    }
}

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
    let sdk = aws_config::defaults(behavior())
        .http_client(http_client)
        .retry_config(retries())
        .timeout_config(timeouts())
        .load()
        .await;
    Config {
        sdk,
        calls: Calls::default(),
    }
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

    #[tokio::test]
    async fn calls_are_noted_when_they_begin_and_when_they_have_their_answer() {
        use recovery_core::ports::Volumes;
        let wire = Wire::answering([
            Answer::ec2_error(400, "InvalidVolume.NotFound", "gone"),
            Answer::Silence,
        ]);
        let config = wire.config_without_retries();
        let adapters = crate::IntegrationAdapters::new(&config, None);
        let volume = recovery_core::arn::VolumeId::new("vol-1");
        Volumes::volume(&adapters, &volume).await.unwrap_err();
        assert_eq!(
            config.calls().to_string(),
            "calls done: ec2:DescribeVolumes; under way: none"
        );
        // Left in the middle.
        let look = crate::OpsCenter::new(&config);
        let id = OpsItemId::new("oi-1");
        tokio::select! {
            biased;
            _ = look.get(&id) => panic!("it has no answer"),
            () = async { tokio::task::yield_now().await } => {}
        }
        assert_eq!(
            config.calls().to_string(),
            "calls done: ec2:DescribeVolumes; under way: ssm:GetOpsItem"
        );
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
