//! Routing controls of Application Recovery Controller.

use std::fmt;

use crate::aws::arn::Arn;
use crate::error::Fault;

/// The most routing controls that one call can set
/// (<https://docs.aws.amazon.com/r53recovery/latest/dg/routing-control.quotas.html>).
pub const CONTROLS_AT_ONCE: usize = 10;

/// An endpoint of a cluster, and its Region, for which its calls are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterEndpoint {
    /// `us-east-1`, …
    pub region: String,
    pub url: String,
}

impl ClusterEndpoint {
    /// Parses `us-east-1=https://….route53-recovery-cluster.us-east-1.amazonaws.com/v1`.
    pub fn parse(text: &str) -> Option<ClusterEndpoint> {
        let (region, url) = text.split_once('=')?;
        let of_region = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let host = url.strip_prefix("https://")?;
        (!region.is_empty()
            && region.chars().all(of_region)
            && !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-./:".contains(c)))
        .then(|| ClusterEndpoint {
            region: region.to_owned(),
            url: url.to_owned(),
        })
    }
}

/// The ARN of a routing control.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoutingControl(String);

impl RoutingControl {
    /// Parses `arn:aws:route53-recovery-control::111122223333:controlpanel/…/routingcontrol/…`.
    pub fn parse(text: &str) -> Option<RoutingControl> {
        let arn = Arn::parse(text).ok()?;
        (arn.service() == "route53-recovery-control" && text.contains("/routingcontrol/"))
            .then(|| RoutingControl(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoutingControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state of a routing control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// Traffic flows.
    On,
    Off,
}

/// The result of setting routing controls.
#[derive(Debug)]
pub enum ShiftAnswer {
    Set,
    /// A safety rule forbids it. No routing control was changed.
    AgainstSafetyRule(Fault),
}
