//! The calls of a run, so that one whose time is up can say how far it came.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many calls are named; of more, the last ones.
const NAMED: usize = 12;

/// The calls to AWS that the present run made and makes. Clones share one record.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    done: Vec<String>,
    under_way: Vec<String>,
}

impl Calls {
    /// Another run begins.
    pub fn forget(&self) {
        *self.record() = Record::default();
    }

    /// A call of this IAM action begins.
    pub fn began(&self, action: &str) {
        self.record().under_way.push(action.to_owned());
    }

    /// A call of this IAM action has its answer, whatever that is.
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
            "calls done: {}; under way: {}",
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
        assert_eq!(calls.to_string(), "calls done: none; under way: none");
        let recorder = calls.clone();
        recorder.began("ec2:DescribeTags");
        recorder.began("ec2:DescribeVolumes");
        recorder.ended("ec2:DescribeTags");
        recorder.ended("never begun");
        assert_eq!(
            calls.to_string(),
            "calls done: ec2:DescribeTags; under way: ec2:DescribeVolumes"
        );
        for _ in 0..20 {
            recorder.began("ssm:GetOpsItem");
            recorder.ended("ssm:GetOpsItem");
        }
        let text = calls.to_string();
        assert!(
            text.starts_with("calls done: 9 others, ssm:GetOpsItem, "),
            "{text}"
        );
        calls.forget();
        assert_eq!(calls.to_string(), "calls done: none; under way: none");
    }
}
