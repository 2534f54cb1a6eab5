//! The recovery points of resources whose candidate has no usable tags: any of them may say which
//! workload the resource belongs to.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, RecoveryPointArn};
use crate::aws::backup::RecoveryPoint;

/// How many recovery points of one resource are asked for their tags, the newest ones.
pub const POINTS_ASKED: usize = 100;

/// Takes recovery points in any order and keeps the newest of chosen resources.
#[derive(Debug)]
pub struct History {
    of: BTreeMap<Arn, Points>,
}

/// The recovery points of one resource.
#[derive(Debug, Default)]
pub struct Points {
    kept: Vec<(DateTime<Utc>, RecoveryPointArn)>,
    /// Whether there are older ones than those that are kept.
    pub more: bool,
}

impl History {
    /// For these resources.
    pub fn of(resources: impl IntoIterator<Item = Arn>) -> History {
        History {
            of: resources
                .into_iter()
                .map(|resource| (resource, Points::default()))
                .collect(),
        }
    }

    /// Takes one more recovery point into account.
    pub fn add(&mut self, point: RecoveryPoint) {
        if let Some(points) = self.of.get_mut(&point.resource) {
            points.kept.push((point.created, point.arn));
            if points.kept.len() >= 2 * POINTS_ASKED {
                points.keep_newest();
            }
        }
    }

    /// What is known of a resource.
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

    /// Takes away the `count` newest that are left, without `candidate`, whose tags are known.
    pub fn next(
        &mut self,
        count: usize,
        candidate: &RecoveryPointArn,
    ) -> Vec<(DateTime<Utc>, RecoveryPointArn)> {
        let count = count.min(self.kept.len());
        let taken = self.kept.drain(..count);
        taken.filter(|(_, arn)| arn != candidate).collect()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}
