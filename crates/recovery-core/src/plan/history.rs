//! The older recovery points of resources whose candidate has no usable tags. Their tags may name the workload.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, RecoveryPointArn};
use crate::aws::backup::RecoveryPoint;

/// The tags of this many recovery points of a resource are read, the newest first.
pub const POINTS_ASKED: usize = 100;

/// Accepts recovery points in any order and keeps the newest of the chosen resources.
#[derive(Debug)]
pub struct History {
    of: BTreeMap<Arn, Points>,
}

/// The recovery points of one resource.
#[derive(Debug, Default)]
pub struct Points {
    kept: Vec<(DateTime<Utc>, RecoveryPointArn)>,
    /// Whether older ones were dropped.
    pub more: bool,
}

impl History {
    pub fn of(resources: impl IntoIterator<Item = Arn>) -> History {
        History {
            of: resources
                .into_iter()
                .map(|resource| (resource, Points::default()))
                .collect(),
        }
    }

    pub fn add(&mut self, point: RecoveryPoint) {
        if let Some(points) = self.of.get_mut(&point.resource) {
            points.kept.push((point.created, point.arn));
            if points.kept.len() >= 2 * POINTS_ASKED {
                points.keep_newest();
            }
        }
    }

    /// Removes and returns the recovery points of a resource.
    pub fn take(&mut self, resource: &Arn) -> Points {
        let mut points = self.of.remove(resource).unwrap_or_default();
        points.keep_newest();
        points
    }
}

impl Points {
    fn keep_newest(&mut self) {
        self.kept.sort_unstable_by(|a, b| b.cmp(a));
        // Pages may overlap.
        self.kept.dedup();
        self.more |= self.kept.len() > POINTS_ASKED;
        self.kept.truncate(POINTS_ASKED);
    }

    /// Removes the `count` newest and returns them, without `candidate`, whose tags are known.
    pub fn next(
        &mut self,
        count: usize,
        candidate: &RecoveryPointArn,
    ) -> Vec<(DateTime<Utc>, RecoveryPointArn)> {
        let count = count.min(self.kept.len());
        let taken = self.kept.drain(..count);
        taken.filter(|(_, arn)| arn != candidate).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}
