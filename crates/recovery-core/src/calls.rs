//! Records the calls of a run. If its time is used up, its error names them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most calls that are named: the last ones.
const NAMED: usize = 12;

/// The calls to AWS of the current run. Clones share one record.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    done: Vec<String>,
    under_way: Vec<String>,
}

impl Calls {
    /// Clears the record for the next run.
    pub fn forget(&self) {
        *self.record() = Record::default();
    }

    /// Records that a call of this IAM action has begun.
    pub fn began(&self, action: &str) {
        self.record().under_way.push(action.to_owned());
    }

    /// Records that a call of this IAM action has ended, with any result.
    pub fn ended(&self, action: &str) {
        let mut record = self.record();
        if let Some(at) = record.under_way.iter().position(|begun| begun == action) {
            let action = record.under_way.remove(at);
            record.done.push(action);
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |calls: &[String]| match calls.len().checked_sub(NAMED) {
            None | Some(0) if calls.is_empty() => "none".to_owned(),
            None | Some(0) => calls.join(", "),
            Some(more) => format!("{more} others, {}", calls[more..].join(", ")),
        };
        let record = self.record();
        write!(
            f,
            "finished calls: {}; running calls: {}",
            named(&record.done),
            named(&record.under_way)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_finished_and_pending_calls() {
        let calls = Calls::default();
        assert_eq!(
            calls.to_string(),
            "finished calls: none; running calls: none"
        );
        let recorder = calls.clone();
        recorder.began("ec2:DescribeTags");
        recorder.began("ec2:DescribeVolumes");
        recorder.ended("ec2:DescribeTags");
        recorder.ended("never begun");
        assert_eq!(
            calls.to_string(),
            "finished calls: ec2:DescribeTags; running calls: ec2:DescribeVolumes"
        );
        for _ in 0..20 {
            recorder.began("ssm:GetOpsItem");
            recorder.ended("ssm:GetOpsItem");
        }
        let text = calls.to_string();
        assert!(
            text.starts_with("finished calls: 9 others, ssm:GetOpsItem, "),
            "{text}"
        );
        calls.forget();
        assert_eq!(
            calls.to_string(),
            "finished calls: none; running calls: none"
        );
    }
}
