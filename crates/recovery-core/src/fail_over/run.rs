//! Fails a workload over with the routing controls of Application Recovery Controller: sets all of them in one
//! transaction, through any of the cluster's endpoints.
//!
//! Safe to repeat: controls that have the wanted state are not set again. A cluster has five endpoints in five
//! Regions. At least three of them are available at any time, and one is enough.

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;

use crate::aws::routing_control::{
    CONTROLS_AT_ONCE, ClusterEndpoint, RoutingControl, ShiftAnswer, Switch,
};
use crate::error::{Error, Fault};
use crate::outcome::Outcome;
use crate::plan::digest::digest;
use crate::plan::request::Mode;
use crate::ports::RoutingControls;
use crate::text::{code, shown};

/// The wanted state of the routing controls after a recovery, and the endpoints of their cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    pub endpoints: Vec<ClusterEndpoint>,
    /// The controls and the wanted state of each.
    pub wanted: Vec<(RoutingControl, Switch)>,
}

impl Routing {
    /// Sets `on` to On and `off` to Off. `None` if there are no endpoints or controls, more controls than one
    /// call can set, or a control is named twice.
    pub fn new(
        endpoints: Vec<ClusterEndpoint>,
        on: Vec<RoutingControl>,
        off: Vec<RoutingControl>,
    ) -> Option<Routing> {
        let with = |state| move |control| (control, state);
        let wanted: Vec<_> = on
            .into_iter()
            .map(with(Switch::On))
            .chain(off.into_iter().map(with(Switch::Off)))
            .collect();
        let twice = wanted.iter().enumerate().any(|(number, (control, _))| {
            wanted[..number]
                .iter()
                .any(|(earlier, _)| earlier == control)
        });
        (!endpoints.is_empty() && (1..=CONTROLS_AT_ONCE).contains(&wanted.len()) && !twice)
            .then_some(Routing { endpoints, wanted })
    }

    /// The endpoints in the order in which this execution tries them. It depends on the name, so that not all
    /// recoveries begin with the same endpoint.
    fn endpoints_for(&self, execution: &str) -> impl Iterator<Item = &ClusterEndpoint> {
        let hash = digest([execution]);
        let number = usize::from_str_radix(hash.get(..4).unwrap_or_default(), 16).unwrap_or(0);
        let count = self.endpoints.len();
        (0..count).map(move |next| &self.endpoints[(number + next) % count])
    }

    fn count(&self, state: Switch) -> usize {
        self.wanted.iter().filter(|(_, to)| *to == state).count()
    }
}

const REMEDY: &str = "Pass {\"workload\": \"…\", \"mode\": \"recover\", \"execution\": {\"name\": \"…\"}}, like the state machine.";

#[derive(Deserialize)]
struct Input {
    workload: String,
    mode: Mode,
    execution: Execution,
}

#[derive(Deserialize)]
struct Execution {
    name: String,
}

/// Sets the routing controls for the recovery in `payload`, or refuses to.
///
/// # Errors
/// If no endpoint set them: [`Error::Permanent`] if one of the errors is permanent, because a person must act,
/// otherwise [`Error::Retryable`]. [`Error::Permanent`] for invalid input.
pub async fn handle(
    controls: &(impl RoutingControls + Sync),
    routing: &Routing,
    payload: &Value,
) -> Result<Outcome, Error> {
    let Input {
        workload,
        mode,
        execution,
    } = serde_path_to_error::deserialize(payload).map_err(|error| {
        Error::Permanent(Fault::new(
            "parse input",
            format!("member {}", error.path()),
            shown(&error.inner().to_string()),
            REMEDY,
        ))
    })?;
    if mode == Mode::Drill {
        return Ok(Outcome::refused("drill")
            .with("workload", workload)
            .with("why", "a drill does not move traffic")
            .with(
                "remedy",
                "No action needed. The state machine does not fail over in a drill.",
            ));
    }
    let mut asked = false;
    let mut failures: Vec<(&ClusterEndpoint, Error)> = Vec::new();
    let done = |outcome: Outcome, endpoint: &ClusterEndpoint, failed: usize| {
        Ok(outcome
            .with("workload", workload.as_str())
            .with("endpointRegion", endpoint.region.as_str())
            .with_count("on", routing.count(Switch::On))
            .with_count("off", routing.count(Switch::Off))
            .with_count("endpointsFailed", failed))
    };
    for endpoint in routing.endpoints_for(&execution.name) {
        // An endpoint that failed may have set the controls. The next endpoint shows it.
        match as_wanted(controls, routing, endpoint).await {
            Ok(true) => {
                let outcome = if asked {
                    Outcome::shifted()
                } else {
                    Outcome::already_shifted()
                };
                return done(outcome, endpoint, failures.len());
            }
            Ok(false) => {}
            Err(error) => {
                failures.push((endpoint, error));
                continue;
            }
        }
        asked = true;
        match controls.update(endpoint, &routing.wanted).await {
            Ok(ShiftAnswer::Set) => return done(Outcome::shifted(), endpoint, failures.len()),
            Ok(ShiftAnswer::AgainstSafetyRule(fault)) => {
                return done(Outcome::refused("safety-rule"), endpoint, failures.len()).map(
                    |outcome| {
                        outcome
                            .with(
                                "why",
                                format!("a safety rule forbids it: {}", code(fault.message())),
                            )
                            .with("remedy", fault.remedy())
                    },
                );
            }
            Err(error) => failures.push((endpoint, error)),
        }
    }
    Err(all_failed(&failures))
}

/// Whether all controls have the wanted state, according to this endpoint.
async fn as_wanted(
    controls: &(impl RoutingControls + Sync),
    routing: &Routing,
    endpoint: &ClusterEndpoint,
) -> Result<bool, Error> {
    let states = routing
        .wanted
        .iter()
        .map(|(control, _)| controls.get(endpoint, control));
    let states = try_join_all(states).await?;
    Ok(states
        .iter()
        .zip(&routing.wanted)
        .all(|(state, (_, wanted))| *state == Some(*wanted)))
}

fn all_failed(failures: &[(&ClusterEndpoint, Error)]) -> Error {
    let each: Vec<String> = failures
        .iter()
        .map(|(endpoint, error)| {
            let fault = error.fault();
            let code = fault.code().unwrap_or("no answer");
            format!("{} ({code}): {}", endpoint.region, fault.message())
        })
        .collect();
    let for_good = failures
        .iter()
        .find(|(_, error)| matches!(error, Error::Permanent(_)));
    let remedy = match for_good {
        Some((_, error)) => error.fault().remedy(),
        None => {
            "No action needed. The fail-over is retried automatically. At least three of five endpoints are available at any time. If all retries fail, check the network path from this function to the endpoints."
        }
    };
    let fault = Fault::new(
        "fail over",
        format!("all {} endpoints of the cluster", failures.len()),
        each.join("; "),
        remedy,
    );
    if for_good.is_some() {
        Error::Permanent(fault)
    } else {
        Error::Retryable(fault)
    }
}
