//! Selects one recovery point for each protected resource. The memory does not grow with the recovery points.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::arn::Arn;
use crate::aws::backup::RecoveryPoint;
use crate::plan::resource_type;
use crate::text;

/// The recovery point of a resource: the newest usable one or, if none is usable, the best of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The recovery point.
    pub point: RecoveryPoint,
    /// Why it cannot be restored, if so.
    pub unusable: Option<Unusable>,
    /// When the resource was backed up.
    pub period: BackupPeriod,
}

/// Recovery points within this time can be of one run of a backup plan: AWS Backup starts a job up to 8 hours
/// late by default.
///
/// <https://docs.aws.amazon.com/aws-backup/latest/devguide/creating-a-backup-plan.html>
const SAME_BACKUP: TimeDelta = TimeDelta::hours(12);

/// When a resource was backed up: the creation of its oldest and of its newest recovery point in the
/// vault, usable or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPeriod {
    /// The oldest recovery point.
    pub first: DateTime<Utc>,
    /// The newest recovery point.
    pub last: DateTime<Utc>,
}

impl BackupPeriod {
    /// Whether this resource has been backed up repeatedly, after the other one was backed up for the last time.
    /// Resources that exist at the same time are backed up within hours of each other, and some of their
    /// copies arrive later than others.
    pub(super) fn is_after(self, other: BackupPeriod) -> bool {
        self.first - other.last >= SAME_BACKUP && self.last - self.first >= SAME_BACKUP
    }
}

/// Of resources that claim what only one can have, the one that has been backed up repeatedly since the others were
/// backed up for the last time: it replaced them.
pub(super) fn replacement<'a>(
    claimants: impl Iterator<Item = (&'a str, Option<BackupPeriod>)> + Clone,
) -> Option<(&'a str, BackupPeriod)> {
    claimants.clone().find_map(|(claimant, period)| {
        let period = period?;
        claimants
            .clone()
            .filter(|(other, _)| *other != claimant)
            .all(|(_, other)| other.is_some_and(|before| period.is_after(before)))
            .then_some((claimant, period))
    })
}

/// Why a recovery point cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It is later than `restoreTo`.
    LaterThanAsked,
    /// It is neither completed nor available.
    Status(String),
    /// It is the parent of a composite recovery point.
    Composite,
    /// It is a part of a composite recovery point.
    CompositeChild,
    /// A scan found malware in it.
    ThreatsFound,
    /// It is in cold storage.
    ColdStorage {
        /// The most hours that its retrieval takes.
        hours: u32,
    },
}

impl Unusable {
    /// The reason code, in kebab case.
    pub fn reason(&self) -> &'static str {
        match self {
            Unusable::LaterThanAsked => "later-than-asked",
            Unusable::Status(_) => "point-status",
            Unusable::Composite => "composite",
            Unusable::CompositeChild => "composite-child",
            Unusable::ThreatsFound => "threats-found",
            Unusable::ColdStorage { .. } => "cold-storage",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::LaterThanAsked => write!(f, "it is later than restoreTo"),
            Unusable::Status(status) => write!(f, "its status is {}", text::shown(status)),
            Unusable::Composite => write!(f, "it is the parent of a composite recovery point"),
            Unusable::CompositeChild => write!(f, "it is a part of a composite recovery point"),
            Unusable::ThreatsFound => write!(f, "a scan found malware in it"),
            Unusable::ColdStorage { hours } => write!(
                f,
                "it is in cold storage, and its retrieval takes up to {hours} hours"
            ),
        }
    }
}

/// Accepts recovery points in any order and keeps one for each resource.
#[derive(Debug)]
pub struct Candidates {
    restore_to: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    kept: BTreeMap<Arn, Candidate>,
    seen: usize,
}

impl Candidates {
    /// For a recovery to `restore_to` or, without it, to the newest recovery points, planned at `now`.
    pub fn new(restore_to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Candidates {
        Candidates {
            restore_to,
            now,
            kept: BTreeMap::new(),
            seen: 0,
        }
    }

    pub fn add(&mut self, point: RecoveryPoint) {
        self.seen += 1;
        let unusable = self.unusable(&point);
        let period = BackupPeriod {
            first: point.created,
            last: point.created,
        };
        let mut candidate = Candidate {
            point,
            unusable,
            period,
        };
        match self.kept.entry(candidate.point.resource.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(candidate);
            }
            Entry::Occupied(mut entry) => {
                let kept = entry.get_mut();
                let period = BackupPeriod {
                    first: kept.period.first.min(period.first),
                    last: kept.period.last.max(period.last),
                };
                if rank(&candidate) > rank(kept) {
                    std::mem::swap(kept, &mut candidate);
                }
                kept.period = period;
            }
        }
    }

    /// How many recovery points were added.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// How many are kept: one for each resource.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// One for each resource, in the order of the resources' ARNs.
    pub fn into_kept(self) -> impl Iterator<Item = Candidate> {
        self.kept.into_values()
    }

    fn unusable(&self, point: &RecoveryPoint) -> Option<Unusable> {
        if self
            .restore_to
            .is_some_and(|restore_to| point.created > restore_to)
        {
            return Some(Unusable::LaterThanAsked);
        }
        if !matches!(point.status.as_str(), "COMPLETED" | "AVAILABLE") {
            return Some(Unusable::Status(point.status.clone()));
        }
        if point.is_parent {
            return Some(Unusable::Composite);
        }
        if point.is_child {
            return Some(Unusable::CompositeChild);
        }
        if point.threats_found {
            return Some(Unusable::ThreatsFound);
        }
        // The list does not say where a recovery point is, but when it moves.
        let rules = resource_type::rules(&point.resource_type);
        let moves = point.archives || !rules.cold_by_choice;
        if moves && point.cold_from.is_some_and(|from| from <= self.now) {
            return Some(Unusable::ColdStorage {
                hours: rules.hours_from_cold,
            });
        }
        None
    }
}

/// The greater, the better: usable before unusable, then not too late before too late, then the newer. The ARN
/// decides between recovery points with the same time.
fn rank(candidate: &Candidate) -> (bool, bool, DateTime<Utc>, &str) {
    let point = &candidate.point;
    (
        candidate.unusable.is_none(),
        candidate.unusable != Some(Unusable::LaterThanAsked),
        point.created,
        point.arn.as_str(),
    )
}
