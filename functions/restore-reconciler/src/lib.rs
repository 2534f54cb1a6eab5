//! Integrates each recent restore that is not integrated, whether or not its event arrived: volumes itself, databases,
//! tables and file systems by invoking their functions. Runs every minute by default.
//!
//! The input is the event of its schedule. Only its source is used.

use std::time::Duration;

use chrono::TimeDelta;
use recovery_core::aws::arn::Scope;
use recovery_core::error::Error;
use recovery_core::event;
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::outcome::Outcome;
use recovery_core::ports::{Clock, ReconciliationPorts};
use recovery_lambda::{SettingsError, Variables};
use serde_json::Value;

/// `source` of the events of EventBridge's own schedules.
const SCHEDULE: &str = "aws.events";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID`, `AWS_REGION` and `DRILL_RESTORE_ROLE_ARN`.
    pub ownership: Ownership,
    /// `TOPIC_ARN`: the SNS topic of the operators, or `off`.
    pub topic: Option<String>,
    /// `MOUNT_RUNBOOK`: the runbook that mounts volumes in their instances, or `off`.
    pub mount_runbook: Option<String>,
    /// `DATABASE_INTEGRATOR`, `TABLE_INTEGRATOR` and `FILE_SYSTEM_INTEGRATOR`.
    pub integrators: Integrators,
    /// `LOOKBACK_HOURS`, `PATIENCE_MINUTES` and `RECONCILE_MINUTES`.
    pub window: LookbackWindow,
}

impl Settings {
    /// The variables that template.yaml sets for this function.
    pub const NAMES: &'static [&'static str] = &[
        "ACCOUNT_ID",
        "DATABASE_INTEGRATOR",
        "DRILL_RESTORE_ROLE_ARN",
        "FILE_SYSTEM_INTEGRATOR",
        "LOOKBACK_HOURS",
        "MOUNT_RUNBOOK",
        "PATIENCE_MINUTES",
        "RECONCILE_MINUTES",
        "TABLE_INTEGRATOR",
        "TOPIC_ARN",
    ];

    /// Reads the environment.
    ///
    /// # Errors
    /// All missing and invalid variables.
    pub fn from_variables(variables: Variables<'_>) -> Result<Settings, SettingsError> {
        let mut read = recovery_lambda::Settings::from(variables);
        let settings = Settings {
            ownership: Ownership {
                scope: Scope {
                    account: read.account("ACCOUNT_ID"),
                    region: read.region("AWS_REGION"),
                },
                drill_role: read.arn("DRILL_RESTORE_ROLE_ARN"),
            },
            topic: read.topic_or_off("TOPIC_ARN"),
            mount_runbook: read.runbook_or_off("MOUNT_RUNBOOK"),
            integrators: Integrators {
                database: read.required("DATABASE_INTEGRATOR"),
                table: read.required("TABLE_INTEGRATOR"),
                file_system: read.required("FILE_SYSTEM_INTEGRATOR"),
            },
            window: LookbackWindow {
                lookback: TimeDelta::hours(read.required_number("LOOKBACK_HOURS", 1..=720)),
                patience: TimeDelta::minutes(read.required_number("PATIENCE_MINUTES", 1..=1440)),
                interval: Duration::from_mins(
                    read.required_number("RECONCILE_MINUTES", 1..=30)
                        .unsigned_abs(),
                ),
            },
        };
        read.complete(settings)
    }
}

/// Reconciles the recent restores.
///
/// # Errors
/// [`Error::Permanent`] for input that is not an event, and those of [`reconcile`].
pub async fn handle(
    ports: &impl ReconciliationPorts,
    clock: &impl Clock,
    ownership: &Ownership,
    integrators: &Integrators,
    window: LookbackWindow,
    payload: &Value,
) -> Result<Outcome, Error> {
    let event = event::parse(payload)?;
    if event.source != SCHEDULE {
        return Ok(Outcome::ignored("source"));
    }
    reconcile(ports, clock, ownership, integrators, window).await
}
