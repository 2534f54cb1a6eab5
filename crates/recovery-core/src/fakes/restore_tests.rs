//! Restore tests in the world: a result is reported once.

use std::collections::BTreeMap;

use crate::aws::arn::RestoreJobId;
use crate::aws::backup::{Report, RestoreTest};
use crate::aws::ec2::Snapshot;
use crate::error::{Error, Fault};
use crate::fakes::{World, not_found};
use crate::ports::{RestoreTests, Snapshots};

/// Restore tests, what they made and of what.
#[derive(Debug, Clone, Default)]
pub struct Tests {
    /// Results by job id, as AWS Backup shows them.
    pub results: BTreeMap<String, String>,
    /// How far the deletion has come, by job id.
    pub deletions: BTreeMap<String, String>,
    /// What was reported, by job id.
    pub reports: BTreeMap<String, Report>,
    /// Snapshots behind recovery points, by id.
    pub snapshots: BTreeMap<String, Snapshot>,
}

impl RestoreTests for World {
    async fn describe(&self, id: &RestoreJobId) -> Result<RestoreTest, Error> {
        let operation = "backup:DescribeRestoreJob";
        self.call(operation, id.as_str(), |state| {
            let job = state
                .restore_jobs
                .get(id.as_str())
                .cloned()
                .ok_or_else(|| not_found(operation, id.as_str()))?;
            Ok(RestoreTest {
                job,
                validation: state.restore_tests.results.get(id.as_str()).cloned(),
                deletion: state.restore_tests.deletions.get(id.as_str()).cloned(),
            })
        })
    }

    async fn put_result(&self, id: &RestoreJobId, report: &Report) -> Result<(), Error> {
        let operation = "backup:PutRestoreValidationResult";
        self.call(operation, id.as_str(), |state| {
            let tests = &mut state.restore_tests;
            let known = tests.results.get(id.as_str());
            if known.is_some_and(|known| known != "VALIDATING") {
                return Err(Error::Permanent(
                    Fault::new(operation, id.as_str(), "it has a result", "Nothing to do.")
                        .with_code("InvalidRequestException"),
                ));
            }
            let result = if report.successful {
                "SUCCESSFUL"
            } else {
                "FAILED"
            };
            tests.results.insert(id.to_string(), result.to_owned());
            tests.reports.insert(id.to_string(), report.clone());
            Ok(())
        })
    }
}

impl Snapshots for World {
    async fn describe(&self, id: &str) -> Result<Option<Snapshot>, Error> {
        self.call("ec2:DescribeSnapshots", id, |state| {
            Ok(state.restore_tests.snapshots.get(id).cloned())
        })
    }
}
