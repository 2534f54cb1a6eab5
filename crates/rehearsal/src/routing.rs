//! The routing controls of the rehearsal: which Region gets the traffic.

use serde_json::Value;

use crate::problem::Problem;
use crate::workload::{PRIMARY_REGION, REGION};

/// The two routing controls: ARN and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Routing {
    pub(crate) primary: (String, String),
    pub(crate) recovery: (String, String),
}

impl Routing {
    pub(crate) fn read(answer: &Value) -> Result<Routing, Problem> {
        let control = |name: &str| {
            let control = &answer["panels"][0]["controls"][name];
            let text = |member: &str| control[member].as_str().map(str::to_owned);
            text("arn").zip(text("state"))
        };
        control(PRIMARY_REGION)
            .zip(control(REGION))
            .map(|(primary, recovery)| Routing { primary, recovery })
            .ok_or_else(|| Problem::said(format!("the routing controls cannot be read: {answer}")))
    }

    /// The endpoints of their cluster, as an owner sets them. The local Region answers for all of them.
    pub(crate) fn endpoints() -> String {
        [
            "us-east-1",
            "us-west-2",
            "eu-west-1",
            "ap-northeast-1",
            "ap-southeast-2",
        ]
        .map(|region| {
            format!("{region}=https://shop.route53-recovery-cluster.{region}.amazonaws.com/v1")
        })
        .join(",")
    }
}
