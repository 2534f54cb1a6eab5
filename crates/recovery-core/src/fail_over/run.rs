//! Fails a workload over by the routing controls of Application Recovery Controller: all of them in one
//! transaction, through whichever of the cluster's endpoints answers.
//!
//! Safe to repeat: what is as wanted is left alone. A cluster has five endpoints in five Regions, of
//! which at least three are promised to be there at any time; one suffices.

use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;

use crate::aws::routing_control::{
    CONTROLS_AT_ONCE, ClusterEndpoint, RoutingControl, ShiftAnswer, Switch,
};
use crate::error::{Error, Fault};
use crate::outcome::Outcome;
use crate::plan::recovery_plan::digest;
use crate::plan::request::Mode;
use crate::ports::RoutingControls;
use crate::text::{code, shown};

/// Where traffic is to flow after a recovery, and through which endpoints that is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// The endpoints of the cluster.
    pub endpoints: Vec<ClusterEndpoint>,
    /// The controls, and where each is to stand.
    pub wanted: Vec<(RoutingControl, Switch)>,
}

impl Routing {
    /// These controls on, those off, through these endpoints; nothing where that cannot be meant: none
    /// at all, more than one call can set, or one named twice.
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

    /// The endpoints in the order in which an execution of this name tries them, so that not all
    /// recoveries begin at the same one.
    fn endpoints_for(&self, execution: &str) -> impl Iterator<Item = &ClusterEndpoint> {
        let hash = digest([execution]);
        let number = usize::from_str_radix(hash.get(..4).unwrap_or_default(), 16).unwrap_or(0);
        let count = self.endpoints.len();
        (0..count).map(move |turn| &self.endpoints[(number + turn) % count])
    }

    fn count(&self, state: Switch) -> usize {
        self.wanted.iter().filter(|(_, to)| *to == state).count()
    }
}

/// What an input must look like.
const REMEDY: &str = "Pass {\"workload\": \"…\", \"mode\": \"recover\", \"execution\": {\"name\": \"…\"}}, as the state machine does.";

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

/// Sets the routing controls for the recovery that `payload` is about, or says why it must not.
///
/// # Errors
/// Those of all endpoints, where none did it: [`Error::Permanent`] if one of them was for good, since
/// someone has to see to it; [`Error::Retryable`] otherwise. [`Error::Permanent`] for input that cannot
/// be read.
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
            .with("why", "a drill leaves the traffic where it is")
            .with(
                "remedy",
                "Nothing to do: the state machine does not fail over in a drill.",
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
        // An endpoint that failed may have taken what it was asked: the next one knows.
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
                                format!(
                                    "a safety rule stands against it: {}",
                                    code(fault.message())
                                ),
                            )
                            .with("remedy", fault.remedy())
                    },
                );
            }
            Err(error) => failures.push((endpoint, error)),
        }
    }
    Err(none_did_it(&failures))
}

/// Whether all controls stand as wanted, as this endpoint knows them.
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

/// What each endpoint said.
fn none_did_it(failures: &[(&ClusterEndpoint, Error)]) -> Error {
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
            "Nothing to do yet: it is tried again. At least three of five endpoints are there at any time; if it stays so, look at the way from this function to them."
        }
    };
    let fault = Fault::new(
        "fail over",
        format!("{} endpoints of the cluster", failures.len()),
        each.join("; "),
        remedy,
    );
    if for_good.is_some() {
        Error::Permanent(fault)
    } else {
        Error::Retryable(fault)
    }
}
