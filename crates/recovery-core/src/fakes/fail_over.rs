//! The world's routing controls, and executions of the state machine that recovers.

use std::collections::{BTreeMap, BTreeSet};

use crate::aws::routing_control::{ClusterEndpoint, RoutingControl, ShiftAnswer, Switch};
use crate::aws::step_functions::Execution;
use crate::error::{Error, Fault};
use crate::fakes::World;
use crate::ports::{RecoveryExecutions, RoutingControls};

/// A cluster of routing controls.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Where each control stands.
    pub states: BTreeMap<RoutingControl, Switch>,
    /// Regions whose endpoints are not there.
    pub unavailable: BTreeSet<String>,
    /// The safety rule that stands against every change, if one does.
    pub safety_rule: Option<String>,
    /// How often controls were set to something else than before.
    pub changes: usize,
}

/// Executions of the state machine.
#[derive(Debug, Clone, Default)]
pub struct Recoveries {
    /// Input and state of each, by name.
    pub executions: BTreeMap<String, (String, Execution)>,
    /// Calls until a running one has succeeded; `None`: never.
    pub reads_until_recovered: Option<usize>,
}

const GET_STATE: &str = "route53-recovery-cluster:GetRoutingControlState";
const UPDATE_STATES: &str = "route53-recovery-cluster:UpdateRoutingControlStates";

fn available(
    cluster: &Cluster,
    operation: &'static str,
    endpoint: &ClusterEndpoint,
) -> Result<(), Error> {
    if cluster.unavailable.contains(&endpoint.region) {
        return Err(Error::Retryable(
            Fault::new(
                operation,
                endpoint.region.as_str(),
                "the endpoint is in maintenance",
                "Ask another one.",
            )
            .with_code("EndpointTemporarilyUnavailableException"),
        ));
    }
    Ok(())
}

impl RoutingControls for World {
    async fn get(
        &self,
        endpoint: &ClusterEndpoint,
        control: &RoutingControl,
    ) -> Result<Option<Switch>, Error> {
        let subject = format!("{control} at {}", endpoint.region);
        self.call(GET_STATE, &subject, |state| {
            available(&state.cluster, GET_STATE, endpoint)?;
            match state.cluster.states.get(control) {
                Some(state) => Ok(Some(*state)),
                None => Err(Error::Permanent(
                    Fault::new(GET_STATE, control.as_str(), "not found", "Name another.")
                        .with_code("ResourceNotFoundException"),
                )),
            }
        })
    }

    async fn update(
        &self,
        endpoint: &ClusterEndpoint,
        wanted: &[(RoutingControl, Switch)],
    ) -> Result<ShiftAnswer, Error> {
        let subject = format!("{} controls at {}", wanted.len(), endpoint.region);
        self.call(UPDATE_STATES, &subject, |state| {
            let cluster = &mut state.cluster;
            available(cluster, UPDATE_STATES, endpoint)?;
            if let Some(rule) = &cluster.safety_rule {
                return Ok(ShiftAnswer::AgainstSafetyRule(Fault::new(
                    UPDATE_STATES,
                    "the routing controls",
                    format!("{rule} stands against it"),
                    format!("Make true what {rule} asks for."),
                )));
            }
            for (control, to) in wanted {
                if cluster.states.insert(control.clone(), *to) != Some(*to) {
                    cluster.changes += 1;
                }
            }
            Ok(ShiftAnswer::Set)
        })
    }
}

impl RecoveryExecutions for World {
    async fn describe(&self, name: &str) -> Result<Option<Execution>, Error> {
        self.call("states:DescribeExecution", name, |state| {
            let recoveries = &mut state.recoveries;
            let Some((_, execution)) = recoveries.executions.get_mut(name) else {
                return Ok(None);
            };
            if execution.status == "RUNNING" {
                match &mut recoveries.reads_until_recovered {
                    Some(0) => execution.status = "SUCCEEDED".to_owned(),
                    Some(looks) => *looks -= 1,
                    None => {}
                }
            }
            Ok(Some(execution.clone()))
        })
    }

    async fn start(&self, name: &str, input: &str) -> Result<(), Error> {
        self.call("states:StartExecution", name, |state| {
            state
                .recoveries
                .executions
                .entry(name.to_owned())
                .or_insert_with(|| {
                    let execution = Execution {
                        arn: format!(
                            "arn:aws:states:us-west-2:111122223333:execution:region-recovery:{name}"
                        ),
                        status: "RUNNING".to_owned(),
                        error: None,
                        cause: None,
                    };
                    (input.to_owned(), execution)
                });
            Ok(())
        })
    }
}
