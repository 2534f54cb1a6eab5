//! Routing controls, and the settings of the Region switch action.

use recovery_core::aws::routing_control::{ClusterEndpoint, RoutingControl};
use recovery_core::fail_over::run::Routing;
use recovery_core::fail_over::run_region_switch::RegionSwitchConfig;

/// The control panel.
pub(crate) const PANEL: &str =
    "arn:aws:route53-recovery-control::111122223333:controlpanel/0123456789abcdef";

/// The routing control of this id.
pub(crate) fn control(id: &str) -> RoutingControl {
    RoutingControl::parse(&format!("{PANEL}/routingcontrol/{id}")).expect("this is one")
}

/// One control on and one off, with two endpoints. More endpoints would only add calls.
pub(crate) fn routing() -> Routing {
    let endpoints = ["eu-west-1", "us-west-2"].map(|region| {
        ClusterEndpoint::parse(&format!("{region}=https://1a2b.example")).expect("this is one")
    });
    Routing::new(
        endpoints.to_vec(),
        vec![control("west")],
        vec![control("east")],
    )
    .expect("it can be meant")
}

/// The workload and Region of the files of `events/`.
pub(crate) fn recovered() -> RegionSwitchConfig {
    RegionSwitchConfig {
        workload: "shop".to_owned(),
        region: "us-west-2".to_owned(),
    }
}
