//! The configuration of all clients.

use std::sync::LazyLock;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ssm::config::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use recovery_core::calls::Calls;

/// The shared configuration of all clients.
#[derive(Debug, Clone)]
pub struct Config {
    /// Region, credentials, timeouts, retries.
    pub(crate) sdk: SdkConfig,
    pub(crate) calls: Calls,
}

impl Config {
    /// The calls of all clients with this configuration.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Records the calls of a client.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder(self.calls.clone())
    }
}

/// Records when a call of a client begins and ends.
#[derive(Debug)]
pub(crate) struct Recorder(Calls);

impl Recorder {
    /// The IAM action of the call, from the SDK's names of service and operation.
    fn action(cfg: &ConfigBag) -> Option<String> {
        let call = cfg.load::<Metadata>()?;
        let service = match call.service().to_lowercase().replace(' ', "-") {
            sdk if sdk == "sfn" => "states".to_owned(),
            sdk if sdk == "efs" => "elasticfilesystem".to_owned(),
            sdk if sdk == "resource-groups-tagging-api" => "tag".to_owned(),
            service => service,
        };
        Some(format!("{service}:{}", call.name()))
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

/// Timeout of a connection. Inside a Region, AWS endpoints answer within milliseconds.
const CONNECT: Duration = Duration::from_secs(2);
/// Timeout of one attempt.
const ATTEMPT: Duration = Duration::from_secs(6);
/// Timeout of a call with all its attempts. Several calls fit into the shortest timeout of a function (120 s), so that
/// it can still record the result.
const OPERATION: Duration = Duration::from_secs(20);
/// The most attempts of a call.
const ATTEMPTS: u32 = 4;

/// Retries with exponential backoff, for the errors that the SDK retries.
pub(crate) fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

pub(crate) fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}

/// The SDK's defaults that were tested with this system.
pub(crate) fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Reads Region and credentials from the variables that Lambda sets, and `AWS_ENDPOINT_URL` and
/// `AWS_ENDPOINT_URL_<SERVICE>` for the local Region. It does not read the other sources of the SDK's own loader.
/// Measured for a cold start of restore-integrator: their code costs 0.37 MB of the zip archive (3.26 instead of
/// 2.89), 0.9 MB of memory (10.1 instead of 9.2) and 0.8 ms of processor time (9.1 instead of 8.3).
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
pub fn load_config() -> Config {
    let credentials = EnvironmentVariableCredentialsProvider::new();
    let mut config = SdkConfig::builder()
        .behavior_version(behavior())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .identity_cache(IdentityCache::lazy().build())
        .service_config(Endpoints(variable))
        .http_client(http_client())
        .retry_config(retries())
        .timeout_config(timeouts());
    config.set_region(variable("AWS_REGION").map(Region::new));
    Config {
        sdk: config.build(),
        calls: Calls::default(),
    }
}

/// A client that is created for its first call, because most events need only some of a function's clients.
pub(crate) type Lazy<C> = LazyLock<C, Box<dyn FnOnce() -> C + Send>>;

pub(crate) fn lazy<C>(
    config: &Config,
    make: impl FnOnce(&Config) -> C + Send + 'static,
) -> Lazy<C> {
    let config = config.clone();
    LazyLock::new(Box::new(move || make(&config)))
}

/// The client of an SDK crate, as nearly every adapter needs it.
macro_rules! client {
    ($config:expr, $sdk:ident) => {
        $crate::client::lazy($config, |config| {
            $sdk::Client::from_conf(
                $sdk::config::Builder::from(&config.sdk)
                    .interceptor(config.recorder())
                    .build(),
            )
        })
    };
}
pub(crate) use client;

/// One HTTP client for all SDK clients. The SDK's own client reads the trusted root certificates for each client, and
/// again for the first call, which costs 0.5 ms of processor time (8.3 instead of 7.8).
///
/// Reading the about 140 certificates takes about 0.9 ms of the 3.3 ms until the function asks for its first event.
/// A thread reads them concurrently. The first call waits for it.
fn http_client() -> SharedHttpClient {
    let reading = std::thread::Builder::new().spawn(connector).ok();
    let connector = LazyLock::new(|| {
        let read = reading.and_then(|reading| reading.join().ok());
        read.unwrap_or_else(connector)
    });
    http_client_fn(move |_, _| connector.clone())
}

fn connector() -> SharedHttpConnector {
    // ring instead of the default provider: see Cargo.toml.
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT)
        .build();
    SharedHttpConnector::new(
        Connector::builder()
            .tls_provider(ring)
            .connector_settings(settings)
            .sleep_impl(TokioSleep::new())
            .build(),
    )
}

/// Endpoints from these variables.
#[derive(Debug)]
struct Endpoints(fn(&str) -> Option<String>);

impl LoadServiceConfig for Endpoints {
    /// For example `AWS_ENDPOINT_URL_CLOUDFORMATION`, otherwise `AWS_ENDPOINT_URL`.
    ///
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace([' ', '-'], "_");
        (self.0)(&format!("{}_{service}", key.env())).or_else(|| (self.0)(key.env()))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "these variables are the SDK's, not settings of a function"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Answer, Wire};
    use recovery_core::aws::arn::OpsItemId;
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
    async fn stops_after_four_attempts_when_a_service_is_unreachable() {
        let (attempts, error) = asked(Answer::Refused).await;
        assert_eq!(attempts, 4);
        assert_eq!(error.error_type(), "Retryable");
        // Timeouts take longer, so there may be fewer attempts.
        let (attempts, error) = asked(Answer::Silence).await;
        assert!((3..=4).contains(&attempts), "{attempts}");
        assert_eq!(error.error_type(), "Retryable");
    }

    #[tokio::test]
    async fn records_the_begin_and_end_of_calls() {
        use recovery_core::ports::Volumes;
        let wire = Wire::answering([
            Answer::ec2_error(400, "InvalidVolume.NotFound", "gone"),
            Answer::Silence,
        ]);
        let config = wire.config_without_retries();
        let volume = recovery_core::aws::arn::VolumeId::new("vol-1");
        let ec2 = crate::Ec2::new(&config);
        Volumes::describe(&ec2, &volume).await.unwrap_err();
        assert_eq!(
            config.calls().to_string(),
            "finished calls: ec2:DescribeVolumes; running calls: none"
        );
        // Dropped before it has ended.
        let look = crate::OpsCenter::new(&config);
        let id = OpsItemId::new("oi-1");
        tokio::select! {
            biased;
            _ = look.get(&id) => panic!("it never ends"),
            () = async { tokio::task::yield_now().await } => {}
        }
        assert_eq!(
            config.calls().to_string(),
            "finished calls: ec2:DescribeVolumes; running calls: ssm:GetOpsItem"
        );
    }

    #[test]
    fn endpoint_of_a_service_overrides_the_global_one() {
        let variables = |name: &str| match name {
            "AWS_ENDPOINT_URL" => Some("http://all".to_owned()),
            "AWS_ENDPOINT_URL_ELASTIC_BEANSTALK" => Some("http://one".to_owned()),
            _ => None,
        };
        let endpoint = |service| {
            let key = ServiceConfigKey::builder()
                .service_id(service)
                .env("AWS_ENDPOINT_URL")
                .profile("endpoint_url")
                .build()
                .unwrap();
            Endpoints(variables).load_config(key)
        };
        assert_eq!(endpoint("Elastic Beanstalk").as_deref(), Some("http://one"));
        assert_eq!(endpoint("SSM").as_deref(), Some("http://all"));
    }

    /// A function with 60 s must still be able to record the result of a call.
    #[test]
    fn limits_a_call_to_20_s() {
        let timeouts = timeouts();
        assert!(timeouts.operation_timeout() <= Some(Duration::from_secs(20)));
        assert!(timeouts.operation_attempt_timeout() <= timeouts.operation_timeout());
        assert!(timeouts.connect_timeout() < timeouts.operation_attempt_timeout());
    }
}
