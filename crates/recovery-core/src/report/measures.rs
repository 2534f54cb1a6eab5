//! The numbers of a report, for dashboards and alarms.

use chrono::{DateTime, Utc};

use super::Report;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Seconds,
    /// Things.
    Count,
}

impl Unit {
    /// As CloudWatch writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Seconds => "Seconds",
            Unit::Count => "Count",
        }
    }
}

/// Numbers of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measures {
    /// The moment.
    pub at: DateTime<Utc>,
    /// What they belong to.
    pub dimensions: Vec<(&'static str, String)>,
    /// The numbers.
    pub values: Vec<(&'static str, Unit, i64)>,
}

/// The metric of each phase, in the order of [`PhaseName::ALL`](super::phases::PhaseName::ALL).
const PHASES: [&str; 8] = [
    "DetectSeconds",
    "DecideSeconds",
    "PlanSeconds",
    "InfrastructureSeconds",
    "RestoreSeconds",
    "IntegrateSeconds",
    "VerifySeconds",
    "FailOverSeconds",
];

/// The numbers of `report`. What a recovery that is not whole took is no recovery time: only what is
/// left of it is counted.
pub fn of(report: &Report) -> Measures {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let flag = |met: Option<bool>| met.map(i64::from);
    let mut values = vec![
        (
            "ItemsIntegrated",
            Unit::Count,
            count(report.totals.integrated),
        ),
        (
            "ItemsUnfinished",
            Unit::Count,
            count(report.totals.unfinished),
        ),
        (
            "ItemsNotPlanned",
            Unit::Count,
            count(report.totals.refusals),
        ),
        ("RecoveryComplete", Unit::Count, i64::from(report.complete)),
    ];
    let mut add = |name, unit, value: Option<i64>| {
        values.extend(value.map(|value| (name, unit, value)));
    };
    let time = &report.recovery_time;
    add(
        "RecoveryTimeTargetSeconds",
        Unit::Seconds,
        time.target_seconds,
    );
    add("RecoveryTimeTargetMet", Unit::Count, flag(time.met));
    if let Some(point) = &report.recovery_point {
        let held = &point.held;
        add("RecoveryPointSeconds", Unit::Seconds, Some(held.seconds));
        add(
            "RecoveryPointTargetSeconds",
            Unit::Seconds,
            held.target_seconds,
        );
        add("RecoveryPointTargetMet", Unit::Count, flag(held.met));
    }
    if report.complete {
        add("RecoveryTimeSeconds", Unit::Seconds, Some(time.seconds));
        for phase in &report.phases {
            let metric = super::phases::PhaseName::ALL
                .iter()
                .zip(PHASES)
                .find(|(name, _)| **name == phase.phase);
            if let Some((_, metric)) = metric {
                add(metric, Unit::Seconds, Some(phase.seconds));
            }
        }
    }
    Measures {
        at: report.reported_at,
        dimensions: vec![
            ("Workload", report.workload.clone()),
            ("Mode", report.mode.as_str().to_owned()),
        ],
        values,
    }
}
