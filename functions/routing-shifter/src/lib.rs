//! Fails over: sets the routing controls so that the recovery Region gets the traffic.
//!
//! The state machine invokes it if the template has routing controls. The input is
//! `{"workload": "…", "mode": "recover", "execution": {"name": "…"}}`.

use recovery_core::aws::routing_control::{CONTROLS_AT_ONCE, ClusterEndpoint, RoutingControl};
use recovery_core::fail_over::run::Routing;
use recovery_lambda::{SettingsError, Variables};

pub use recovery_core::fail_over::run::handle;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `CLUSTER_ENDPOINTS`, `ROUTING_CONTROLS_ON` and `ROUTING_CONTROLS_OFF`.
    pub routing: Routing,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "CLUSTER_ENDPOINTS",
        "ROUTING_CONTROLS_OFF",
        "ROUTING_CONTROLS_ON",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let endpoints = read.required_list(
            "CLUSTER_ENDPOINTS",
            "region=https://… for each endpoint of the cluster, separated by commas",
            ClusterEndpoint::parse,
        );
        let mut controls = |name| -> Vec<RoutingControl> {
            read.required_list(
                name,
                "ARNs of routing controls, separated by commas, or off",
                |text| match text {
                    "off" => Some(None),
                    text => RoutingControl::parse(text).map(Some),
                },
            )
            .into_iter()
            .flatten()
            .collect()
        };
        let on = controls("ROUTING_CONTROLS_ON");
        let off = controls("ROUTING_CONTROLS_OFF");
        match Routing::new(endpoints, on, off) {
            Some(routing) => read.complete(Settings { routing }),
            None => Err(read.with_problem(&format!(
                "ROUTING_CONTROLS_ON and ROUTING_CONTROLS_OFF together must name 1 to {CONTROLS_AT_ONCE} routing controls, each once, and CLUSTER_ENDPOINTS at least one endpoint"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINTS: &str = "us-east-1=https://a.route53-recovery-cluster.us-east-1.amazonaws.com/v1,us-west-2=https://b.route53-recovery-cluster.us-west-2.amazonaws.com/v1";
    const WEST: &str =
        "arn:aws:route53-recovery-control::111122223333:controlpanel/0/routingcontrol/1";
    const EAST: &str =
        "arn:aws:route53-recovery-control::111122223333:controlpanel/0/routingcontrol/2";

    fn read(endpoints: &str, on: &str, off: &str) -> Result<Settings, String> {
        Settings::from_variables(&|name| {
            Some(match name {
                "CLUSTER_ENDPOINTS" => endpoints.to_owned(),
                "ROUTING_CONTROLS_ON" => on.to_owned(),
                _ => off.to_owned(),
            })
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn accepts_controls_on_either_side_but_requires_one() {
        let both = read(ENDPOINTS, WEST, EAST).unwrap().routing;
        assert_eq!((both.endpoints.len(), both.wanted.len()), (2, 2));
        assert_eq!(
            read(ENDPOINTS, WEST, "off").unwrap().routing.wanted.len(),
            1
        );
        assert_eq!(
            read(ENDPOINTS, "off", EAST).unwrap().routing.wanted.len(),
            1
        );
        for (on, off) in [("off", "off"), (WEST, WEST)] {
            let error = read(ENDPOINTS, on, off).unwrap_err();
            assert!(
                error.contains("together must name 1 to 10 routing controls, each once"),
                "{error}"
            );
        }
    }

    #[test]
    fn names_invalid_settings() {
        let error = read("us-east-1", "control", "off").unwrap_err();
        for part in [
            "CLUSTER_ENDPOINTS contains us-east-1, but must be region=https://…",
            "ROUTING_CONTROLS_ON contains control, but must be ARNs of routing controls",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
