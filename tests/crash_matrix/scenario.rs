//! A scenario: a payload, a function and a world.

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

use crate::support::databases::database_integration;
use crate::support::disturbed::Ports;
use crate::support::file_systems::file_system_integration;
use crate::support::reports::config;
use crate::support::repository::event;
use crate::support::restored::{integration, integrators, usual_ownership, usual_scope};
use crate::support::routing::recovered;
use crate::support::tables::table_integration;

/// A function with the settings that matter.
#[derive(Debug, Clone)]
pub(super) enum Function {
    RestoreIntegrator,
    TableIntegrator,
    DatabaseIntegrator,
    FileSystemIntegrator,
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
            Function::TableIntegrator => "table-integrator",
            Function::DatabaseIntegrator => "database-integrator",
            Function::FileSystemIntegrator => "file-system-integrator",
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

    /// Its timeout in the template.
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

    /// The policy of a responder.
    pub(super) fn policy(&self) -> Option<&Policy> {
        match self {
            Function::HealthEventResponder(policy) | Function::AlarmResponder(policy) => {
                Some(policy)
            }
            Function::RestoreIntegrator
            | Function::TableIntegrator
            | Function::DatabaseIntegrator
            | Function::FileSystemIntegrator
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

    /// Whether it runs on a schedule, even after it succeeded.
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self, Function::RestoreReconciler(_))
    }

    /// Whether it keeps an OpsItem that records what it has done.
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
            Function::TableIntegrator => table_integration(ports, ports, payload).await,
            Function::DatabaseIntegrator => database_integration(ports, ports, payload).await,
            Function::FileSystemIntegrator => file_system_integration(ports, ports, payload).await,
            Function::RestoreReconciler(window) => {
                let ownership = usual_ownership();
                restore_reconciler::handle(
                    ports,
                    ports,
                    &ownership,
                    &integrators(),
                    *window,
                    payload,
                )
                .await
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
                    region: "us-west-2".to_owned(),
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

/// The allowed differences of the end state after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tolerance {
    /// Nothing.
    Nothing,
    /// The OpsItem prevents repeated notifications. A run that cannot read it notifies again.
    NotifiesMore,
    /// In addition, a recovery may start, because a Health event starts one with or without an OpsItem.
    NotifiesAndStartsMore,
    /// A resource has been missing for too long. One notification names the failure of the first run
    /// that noticed it, or there is none if the resource appeared in time.
    Hindrance,
    /// A run that attaches the volume creates an OpsItem without a search for one that a user resolved:
    /// the search would cost a call in nearly every restore. There may be others, all resolved.
    SecondItem,
    /// No OpsItem can be created to record notifications: each delivery notifies again, and repeats the
    /// calls that a token or a key makes idempotent.
    NotRecorded,
    /// A run that cannot read all tags stores another plan, under another hash. Nobody approves it.
    OtherPlans,
}

/// A delivery into a world, and its outcome without failures.
#[derive(Debug)]
pub(super) struct Scenario {
    /// The function.
    pub(super) function: Function,
    /// Its name, unique within the function.
    pub(super) name: &'static str,
    /// The files of `events/` that are delivered in it or were delivered before.
    pub(super) files: Vec<&'static str>,
    /// The payload.
    pub(super) payload: Value,
    /// The outcome of one delivery, with its reason: `refused/zone-mismatch`; or the `errorType`.
    pub(super) leads_to: &'static str,
    /// The world before it.
    pub(super) world: World,
    /// A change of the world before the next delivery: a missing resource exists.
    pub(super) meanwhile: Option<fn(&World)>,
    /// The allowed differences of the end state.
    pub(super) tolerance: Tolerance,
    /// Whether another scenario makes the same calls for an equivalent event: then this one is walked
    /// with one failure per delivery.
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
        // The calls that prepared this world do not count.
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

    /// The same with a changed world.
    pub(super) fn given(self, arrange: impl FnOnce(&World)) -> Scenario {
        arrange(&self.world);
        self.world.state().calls.clear();
        self
    }

    /// The same with a changed payload.
    pub(super) fn with(mut self, change: impl FnOnce(&mut Value)) -> Scenario {
        change(&mut self.payload);
        self
    }

    /// The same with a change of the world before the next delivery.
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

    /// The same with these allowed differences of the end state.
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
