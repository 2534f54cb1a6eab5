//! The metrics of a report, for dashboards and alarms.

use chrono::{DateTime, Utc};

use crate::report::recovery_report::Report;

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Time.
    Seconds,
    /// A number.
    Count,
}

impl Unit {
    /// CloudWatch's name of the unit.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Seconds => "Seconds",
            Unit::Count => "Count",
        }
    }
}

/// Metrics of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measures {
    /// The moment.
    pub at: DateTime<Utc>,
    /// Names and values of the dimensions.
    pub dimensions: Vec<(&'static str, String)>,
    /// Name, unit and value of each metric.
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

/// The metrics of `report`. Times of an incomplete recovery are left out: they would pass for those of a
/// complete one.
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
    let rto = &report.rto;
    add(
        "RecoveryTimeTargetSeconds",
        Unit::Seconds,
        rto.objective_seconds,
    );
    add("RecoveryTimeTargetMet", Unit::Count, flag(rto.met));
    if let Some(rpo) = report.rpo.as_ref().map(|rpo| rpo.result) {
        add(
            "RecoveryPointSeconds",
            Unit::Seconds,
            Some(rpo.achieved_seconds),
        );
        add(
            "RecoveryPointTargetSeconds",
            Unit::Seconds,
            rpo.objective_seconds,
        );
        add("RecoveryPointTargetMet", Unit::Count, flag(rpo.met));
    }
    if report.complete {
        add(
            "RecoveryTimeSeconds",
            Unit::Seconds,
            Some(rto.achieved_seconds),
        );
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
