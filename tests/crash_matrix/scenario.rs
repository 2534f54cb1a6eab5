//! What is delivered, to which function, in which world.

use std::time::Duration;

use recovery_core::detect::{Policy, Response};
use recovery_core::error::Error;
use recovery_core::fail_over::run::Routing;
use recovery_core::fakes::{DRILL_ROLE, RESTORE_ROLE, World};
use recovery_core::integrate::run_reconcile::LookbackWindow;
use recovery_core::outcome::Outcome;
use recovery_core::plan::run::PlannerConfig;
use recovery_core::restore::run::RestoreConfig;
use serde_json::Value;

use crate::support::disturbed::Ports;
use crate::support::reports::config;
use crate::support::repository::event;
use crate::support::restored::{integration, usual_ownership, usual_scope};
use crate::support::routing::recovered;

/// A function, with the settings that make a difference.
#[derive(Debug, Clone)]
pub(super) enum Function {
    RestoreIntegrator,
    RestoreReconciler(LookbackWindow),
    RestoreTestValidator,
    RecoveryPlanner,
    RecoveryReporter,
    RestoreStarter,
    RoutingShifter(Routing),
    RegionSwitchAction,
    OpsitemCreator,
    HealthEventResponder(Policy),
    AlarmResponder(Policy),
}

impl Function {
    /// The name of its package.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Function::RestoreIntegrator => "restore-integrator",
            Function::RestoreReconciler(_) => "restore-reconciler",
            Function::RestoreTestValidator => "restore-test-validator",
            Function::RecoveryPlanner => "recovery-planner",
            Function::RecoveryReporter => "recovery-reporter",
            Function::RestoreStarter => "restore-starter",
            Function::RoutingShifter(_) => "routing-shifter",
            Function::RegionSwitchAction => "region-switch-action",
            Function::OpsitemCreator => "opsitem-creator",
            Function::HealthEventResponder(_) => "health-event-responder",
            Function::AlarmResponder(_) => "alarm-responder",
        }
    }

    /// Its time, as the template gives it.
    pub(super) fn timeout(&self) -> Duration {
        match self {
            Function::RestoreIntegrator
            | Function::RestoreReconciler(_)
            | Function::RecoveryPlanner
            | Function::RecoveryReporter
            | Function::RegionSwitchAction => Duration::from_secs(300),
            _ => Duration::from_secs(120),
        }
    }

    /// What its owner chose, where it answers signals.
    pub(super) fn policy(&self) -> Option<&Policy> {
        match self {
            Function::HealthEventResponder(policy) | Function::AlarmResponder(policy) => {
                Some(policy)
            }
            Function::RestoreIntegrator
            | Function::RestoreReconciler(_)
            | Function::RestoreTestValidator
            | Function::RecoveryPlanner
            | Function::RecoveryReporter
            | Function::RestoreStarter
            | Function::RoutingShifter(_)
            | Function::RegionSwitchAction
            | Function::OpsitemCreator => None,
        }
    }

    /// Whether it comes again also after it succeeded: by its schedule.
    pub(super) fn comes_again(&self) -> bool {
        matches!(self, Function::RestoreReconciler(_))
    }

    /// Whether it keeps an OpsItem, in which it remembers what it has done.
    pub(super) fn tracks(&self) -> bool {
        !matches!(
            self,
            Function::RecoveryPlanner
                | Function::RestoreStarter
                | Function::RoutingShifter(_)
                | Function::RegionSwitchAction
        ) && self
            .policy()
            .is_none_or(|policy| policy.responses.contains(&Response::Track))
    }

    /// One delivery of `payload`.
    pub(super) async fn deliver(
        &self,
        ports: &Ports<'_>,
        payload: &Value,
    ) -> Result<Outcome, Error> {
        match self {
            Function::RestoreIntegrator => integration(ports, ports, payload).await,
            Function::RestoreReconciler(window) => {
                let ownership = usual_ownership();
                restore_reconciler::handle(ports, ports, &ownership, *window, payload).await
            }
            Function::RestoreTestValidator => {
                restore_test_validator::handle(ports, ports, &usual_scope(), payload).await
            }
            Function::RecoveryPlanner => {
                let config = PlannerConfig {
                    vault: "recovery".to_owned(),
                    bucket: "plans".to_owned(),
                };
                recovery_planner::handle(ports, ports, &config, payload).await
            }
            Function::RecoveryReporter => {
                recovery_reporter::handle(ports, ports, ports, &config(), payload).await
            }
            Function::RestoreStarter => {
                let config = RestoreConfig {
                    vault: "recovery".to_owned(),
                    role: RESTORE_ROLE.to_owned(),
                    drill_role: DRILL_ROLE.to_owned(),
                    key: None,
                };
                restore_starter::handle(ports, &config, payload).await
            }
            Function::RoutingShifter(routing) => {
                routing_shifter::handle(ports, routing, payload).await
            }
            Function::RegionSwitchAction => {
                region_switch_action::handle(ports, ports, &recovered(), payload).await
            }
            Function::OpsitemCreator => opsitem_creator::handle(ports, DRILL_ROLE, payload).await,
            Function::HealthEventResponder(policy) => {
                health_event_responder::handle(ports, policy, payload).await
            }
            Function::AlarmResponder(policy) => {
                alarm_responder::handle(ports, policy, payload).await
            }
        }
    }
}

/// What may be otherwise at the end when something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// Nothing.
    Nothing,
    /// The OpsItem keeps people from being told; a run that cannot read it tells them all the same.
    TellsMore,
    /// And, since a Health event starts one recovery with or without an item, it starts that, too.
    TellsAndStartsMore,
    /// What it waits for has been missing for too long. People are told once, of what hindered the
    /// first run that came so far, and of nothing where it was there in time.
    Hindrance,
    /// An item that a person resolved is not looked for before a run that attaches the volume makes
    /// one: it would cost a call in nearly every restore. There may be others, all resolved.
    SecondItem,
    /// No OpsItem can be created to record that people were told: each delivery tells them, and makes
    /// the calls again that a token or a key keeps from doing anything twice.
    NothingRecorded,
}

/// A delivery into a world, and what it leads to where nothing goes wrong.
#[derive(Debug)]
pub(super) struct Scenario {
    /// The function.
    pub(super) function: Function,
    /// Its own among those of the function.
    pub(super) name: &'static str,
    /// The files of `events/` that are delivered in it, or were before.
    pub(super) files: Vec<&'static str>,
    /// What is delivered.
    pub(super) payload: Value,
    /// The outcome of one delivery, with its reason: `refused/zone-mismatch`; or the `errorType`.
    pub(super) leads_to: &'static str,
    /// The world before it.
    pub(super) world: World,
    /// What happens in the world before it is delivered again: what had to be waited for is there.
    pub(super) meanwhile: Option<fn(&World)>,
    /// What may be otherwise at the end.
    pub(super) tolerance: Tolerance,
    /// Whether another scenario makes the same calls, for an event that says the same in other words:
    /// then this one is walked with one trouble in a delivery.
    pub(super) brief: bool,
}

impl Scenario {
    /// `file` delivered to `function` in `world`.
    pub(super) fn new(
        function: Function,
        name: &'static str,
        file: &'static str,
        leads_to: &'static str,
        world: World,
    ) -> Scenario {
        // Whatever led to this world is over.
        world.state().calls.clear();
        Scenario {
            function,
            name,
            files: vec![file],
            payload: event(file),
            leads_to,
            world,
            meanwhile: None,
            tolerance: Tolerance::Nothing,
            brief: false,
        }
    }

    /// The same in a world that is arranged so.
    pub(super) fn given(self, arrange: impl FnOnce(&World)) -> Scenario {
        arrange(&self.world);
        self.world.state().calls.clear();
        self
    }

    /// The same with an event that is changed so.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Value)) -> Scenario {
        change(&mut self.payload);
        self
    }

    /// The same, and this happens before it is delivered again.
    pub(super) fn then(self, meanwhile: fn(&World)) -> Scenario {
        Scenario {
            meanwhile: Some(meanwhile),
            ..self
        }
    }

    /// The same, walked briefly.
    pub(super) fn briefly(self) -> Scenario {
        Scenario {
            brief: true,
            ..self
        }
    }

    /// The same, and the end may be otherwise in this.
    pub(super) fn tolerating(self, tolerance: Tolerance) -> Scenario {
        Scenario { tolerance, ..self }
    }

    /// `function/name`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.function.name(), self.name)
    }

    /// One delivery.
    pub(super) async fn deliver(&self, ports: &Ports<'_>) -> Result<Outcome, Error> {
        self.function.deliver(ports, &self.payload).await
    }
}

/// An outcome as [`Scenario::leads_to`] has it.
pub(super) fn shown(outcome: &Result<Outcome, Error>) -> String {
    match outcome {
        Ok(outcome) => match outcome.reason() {
            Some(reason) => format!("{}/{reason}", outcome.kind()),
            None => outcome.kind().to_owned(),
        },
        Err(error) => error.error_type().to_owned(),
    }
}
