//! Application Recovery Controller: routing controls, through the endpoints of their cluster. The control plane is never
//! called, because it runs in one Region only.

use std::time::Duration;

use aws_config::Region;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_route53recoverycluster::types::{RoutingControlState, UpdateRoutingControlStateEntry};
use aws_sdk_route53recoverycluster::{Client, config};
use aws_types::service_config::ServiceConfigKey;
use recovery_core::aws::routing_control::{ClusterEndpoint, RoutingControl, ShiftAnswer, Switch};
use recovery_core::error::{Error, Fault};
use recovery_core::ports::RoutingControls;

use crate::client::{Config, Lazy, lazy};
use crate::error::{SdkError, classify, code, message};

/// The cluster of the routing controls.
#[derive(Debug)]
pub struct RoutingCluster {
    client: Lazy<Client>,
    /// Whether the environment sets another endpoint for all calls: a local Region, or a test.
    elsewhere: bool,
}

const GET_STATE: &str = "route53-recovery-cluster:GetRoutingControlState";
const UPDATE_STATES: &str = "route53-recovery-cluster:UpdateRoutingControlStates";

/// Timeout of a call. If an endpoint does not answer, the next one is called. Two calls at each of five endpoints fit
/// into a third of the shortest timeout of a function.
const CALL: Duration = Duration::from_secs(4);

impl RoutingCluster {
    /// The IAM actions of the calls in this file.
    pub const ACTIONS: &'static [&'static str] = &[GET_STATE, UPDATE_STATES];

    /// A client whose calls each name their endpoint.
    pub fn new(config: &Config) -> RoutingCluster {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(CALL)
            .operation_timeout(CALL)
            .build();
        let elsewhere = ServiceConfigKey::builder()
            .service_id("Route53 Recovery Cluster")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .ok()
            .and_then(|key| config.sdk.service_config()?.load_config(key))
            .is_some();
        RoutingCluster {
            elsewhere,
            client: lazy(config, |config| {
                Client::from_conf(
                    config::Builder::from(&config.sdk)
                        // A retry uses another endpoint.
                        .retry_config(RetryConfig::disabled())
                        .timeout_config(timeouts)
                        .interceptor(config.recorder())
                        .build(),
                )
            }),
        }
    }

    /// The endpoint of a call, and the Region for which it is signed:
    /// <https://docs.aws.amazon.com/r53recovery/latest/dg/routing-control.update.api.html>.
    fn at(&self, endpoint: &ClusterEndpoint) -> config::Builder {
        let there = config::Config::builder().region(Region::new(endpoint.region.clone()));
        if self.elsewhere {
            there
        } else {
            there.endpoint_url(&endpoint.url)
        }
    }
}

fn subject(endpoint: &ClusterEndpoint, what: &str) -> String {
    format!("{what} at {}", endpoint.region)
}

impl RoutingControls for RoutingCluster {
    /// <https://docs.aws.amazon.com/routing-control/latest/APIReference/API_GetRoutingControlState.html>
    async fn get(
        &self,
        endpoint: &ClusterEndpoint,
        control: &RoutingControl,
    ) -> Result<Option<Switch>, Error> {
        let answer = self
            .client
            .get_routing_control_state()
            .routing_control_arn(control.as_str())
            .customize()
            .config_override(self.at(endpoint))
            .send()
            .await
            .map_err(|error| classify(GET_STATE, subject(endpoint, control.as_str()), error))?;
        Ok(match answer.routing_control_state {
            RoutingControlState::On => Some(Switch::On),
            RoutingControlState::Off => Some(Switch::Off),
            _ => None,
        })
    }

    /// <https://docs.aws.amazon.com/routing-control/latest/APIReference/API_UpdateRoutingControlStates.html>
    async fn update(
        &self,
        endpoint: &ClusterEndpoint,
        wanted: &[(RoutingControl, Switch)],
    ) -> Result<ShiftAnswer, Error> {
        let mut request = self.client.update_routing_control_states();
        for (control, state) in wanted {
            let entry = UpdateRoutingControlStateEntry::builder()
                .routing_control_arn(control.as_str())
                .routing_control_state(match state {
                    Switch::On => RoutingControlState::On,
                    Switch::Off => RoutingControlState::Off,
                })
                .build()
                .map_err(|error| {
                    classify(
                        UPDATE_STATES,
                        subject(endpoint, control.as_str()),
                        SdkError::<
                            aws_sdk_route53recoverycluster::operation::update_routing_control_states::UpdateRoutingControlStatesError,
                        >::construction_failure(error),
                    )
                })?;
            request = request.update_routing_control_state_entries(entry);
        }
        let answer = request
            .customize()
            .config_override(self.at(endpoint))
            .send()
            .await;
        let error = match answer {
            Ok(_) => return Ok(ShiftAnswer::Set),
            Err(error) => error,
        };
        let subject = subject(endpoint, "the routing controls");
        if code(&error) != Some("ConflictException") {
            return Err(classify(UPDATE_STATES, subject, error));
        }
        let text = message(&error).unwrap_or_default().to_owned();
        // The message contains the ARN of a safety rule. Other conflicts are concurrent changes.
        let rule = text
            .split(|c: char| c.is_whitespace() || ",;\"'()[]".contains(c))
            .find(|word| word.contains(":controlpanel/") && word.contains("/safetyrule/"))
            .map(|rule| rule.trim_end_matches('.').to_owned());
        let fault = |remedy: String| {
            Fault::new(UPDATE_STATES, subject, text.clone(), remedy).with_code("ConflictException")
        };
        match rule {
            Some(rule) => Ok(ShiftAnswer::AgainstSafetyRule(
                fault(format!(
                    "Satisfy the safety rule {rule}, then fail over again. Or, if you know what it protects, set the routing controls yourself and override it (--safety-rules-to-override)."
                ))
                .with_source(error),
            )),
            None => Err(Error::Retryable(
                fault("No action needed. The call is retried automatically.".to_owned()).with_source(error),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_types::service_config::LoadServiceConfig;
    use serde_json::json;

    use super::*;
    use crate::wire::{Answer, Wire, called_in, listed};

    const PANEL: &str = "arn:aws:route53-recovery-control::111122223333:controlpanel/0123456789abcdef0123456789abcdef";

    fn control(id: &str) -> RoutingControl {
        RoutingControl::parse(&format!("{PANEL}/routingcontrol/{id}")).unwrap()
    }

    fn endpoint(region: &str) -> ClusterEndpoint {
        ClusterEndpoint::parse(&format!(
            "{region}=https://1a2b3c4d.route53-recovery-cluster.{region}.amazonaws.com/v1"
        ))
        .unwrap()
    }

    fn wanted() -> Vec<(RoutingControl, Switch)> {
        vec![
            (control("west"), Switch::On),
            (control("east"), Switch::Off),
        ]
    }

    async fn set(wire: &Wire) -> Result<ShiftAnswer, Error> {
        let cluster = RoutingCluster::new(&wire.config());
        cluster.update(&endpoint("ap-southeast-2"), &wanted()).await
    }

    #[tokio::test]
    async fn reads_the_state_from_the_endpoint_and_signs_for_its_region() {
        for (answer, expected) in [
            (json!({"RoutingControlState": "On"}), Some(Switch::On)),
            (json!({"RoutingControlState": "Off"}), Some(Switch::Off)),
            (json!({"RoutingControlState": "Halfway"}), None),
        ] {
            let wire = Wire::answering([Answer::json(&answer)]);
            let state = RoutingCluster::new(&wire.config())
                .get(&endpoint("eu-west-1"), &control("west"))
                .await
                .unwrap();
            assert_eq!(state, expected, "{answer}");
            let sent = wire.only();
            assert!(
                sent.uri.starts_with(
                    "https://1a2b3c4d.route53-recovery-cluster.eu-west-1.amazonaws.com/v1"
                ),
                "{}",
                sent.uri
            );
            let signed = sent.header("authorization").unwrap_or_default();
            assert!(
                signed.contains("/eu-west-1/route53-recovery-cluster/aws4_request"),
                "{signed}"
            );
            assert_eq!(
                sent.json(),
                json!({"RoutingControlArn": format!("{PANEL}/routingcontrol/west")})
            );
        }
    }

    /// A rehearsal never calls AWS, whatever endpoints its settings have.
    #[tokio::test]
    async fn sends_calls_of_every_endpoint_to_the_local_region() {
        #[derive(Debug)]
        struct Local;
        impl LoadServiceConfig for Local {
            fn load_config(&self, _: ServiceConfigKey<'_>) -> Option<String> {
                Some("http://127.0.0.1:4566".to_owned())
            }
        }
        let wire = Wire::answering([Answer::json(&json!({"RoutingControlState": "On"}))]);
        let mut config = wire.config();
        config.sdk = config.sdk.into_builder().service_config(Local).build();
        RoutingCluster::new(&config)
            .get(&endpoint("eu-west-1"), &control("west"))
            .await
            .unwrap();
        let sent = wire.only();
        assert!(
            sent.uri.starts_with("http://127.0.0.1:4566/"),
            "{}",
            sent.uri
        );
        let signed = sent.header("authorization").unwrap_or_default();
        assert!(signed.contains("/eu-west-1/"), "{signed}");
    }

    #[tokio::test]
    async fn sets_all_controls_in_one_call_without_overriding_safety_rules() {
        let wire = Wire::answering([Answer::json(&json!({}))]);
        assert!(matches!(set(&wire).await.unwrap(), ShiftAnswer::Set));
        let sent = wire.only();
        assert!(
            sent.uri.contains(".ap-southeast-2.amazonaws.com/v1"),
            "{}",
            sent.uri
        );
        assert_eq!(
            sent.json(),
            json!({"UpdateRoutingControlStateEntries": [
                {"RoutingControlArn": format!("{PANEL}/routingcontrol/west"), "RoutingControlState": "On"},
                {"RoutingControlArn": format!("{PANEL}/routingcontrol/east"), "RoutingControlState": "Off"},
            ]})
        );
    }

    #[tokio::test]
    async fn names_the_safety_rule_and_retries_other_conflicts() {
        let rule = format!("{PANEL}/safetyrule/a1b2");
        let conflict = |message: &str| {
            Wire::answering([Answer::json_error(
                409,
                "ConflictException",
                &json!({"message": message}),
            )])
        };
        let wire = conflict(&format!("The safety rule {rule}. prevents it"));
        match set(&wire).await.unwrap() {
            ShiftAnswer::AgainstSafetyRule(fault) => {
                assert!(
                    fault
                        .remedy()
                        .contains(&format!("Satisfy the safety rule {rule},")),
                    "{fault}"
                );
                assert!(fault.message().contains(&rule), "{fault}");
            }
            ShiftAnswer::Set => panic!("it is not set"),
        }
        let error = set(&conflict("There was a conflict. Try again."))
            .await
            .unwrap_err();
        assert_eq!(error.error_type(), "Retryable");
        assert_eq!(error.fault().code(), Some("ConflictException"));
    }

    #[tokio::test]
    async fn calls_each_endpoint_once_and_classifies_every_error() {
        for (status, code, expected) in [
            (503, "EndpointTemporarilyUnavailableException", "Retryable"),
            (400, "EndpointTemporarilyUnavailableException", "Retryable"),
            (500, "InternalServerException", "Retryable"),
            (429, "ThrottlingException", "Retryable"),
            (400, "ThrottlingException", "Retryable"),
            (403, "AccessDeniedException", "Permanent"),
            (404, "ResourceNotFoundException", "Permanent"),
            (400, "ValidationException", "Permanent"),
            (402, "ServiceLimitExceededException", "Permanent"),
        ] {
            let answer = Answer::json_error(status, code, &json!({"message": "In its words"}));
            let wire = Wire::answering([answer.clone()]);
            let error = set(&wire).await.unwrap_err();
            assert_eq!(error.error_type(), expected, "set: {code}");
            assert_eq!(error.fault().code(), Some(code));
            assert!(error.fault().subject().ends_with(" at ap-southeast-2"));
            assert_eq!(wire.sent().len(), 1, "{code}");
            let wire = Wire::answering([answer]);
            let error = RoutingCluster::new(&wire.config())
                .get(&endpoint("us-east-1"), &control("west"))
                .await
                .unwrap_err();
            assert_eq!(error.error_type(), expected, "get: {code}");
            assert_eq!(wire.sent().len(), 1, "{code}");
        }
        for nothing in [Answer::Refused, Answer::Silence] {
            let wire = Wire::answering([nothing]);
            let error = set(&wire).await.unwrap_err();
            assert_eq!(error.error_type(), "Retryable");
            assert_eq!(wire.sent().len(), 1);
        }
    }

    #[tokio::test]
    async fn actions_match_the_requests() {
        let wire = Wire::answering([
            Answer::json(&json!({})),
            Answer::json(&json!({"RoutingControlState": "On"})),
        ]);
        set(&wire).await.unwrap();
        RoutingCluster::new(&wire.config())
            .get(&endpoint("us-east-1"), &control("west"))
            .await
            .unwrap();
        assert_eq!(wire.actions(), listed(RoutingCluster::ACTIONS));
        assert_eq!(
            called_in(
                "route53-recovery-cluster",
                include_str!("routing_cluster.rs")
            ),
            listed(RoutingCluster::ACTIONS)
        );
    }
}
