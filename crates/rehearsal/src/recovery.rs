//! The state of one execution of a recovery's state machine, and a check of its report.

use std::collections::BTreeMap;

use serde_json::Value;

/// An execution and its newest report.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) arn: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) cause: Option<String>,
    pub(crate) redrives: i32,
    /// The number of events of its history, without those of its children.
    pub(crate) events: usize,
    /// The report as JSON, and its page.
    pub(crate) report: Option<Value>,
    pub(crate) page: Option<String>,
}

impl Recovery {
    /// A member of the report, by its pointer (RFC 6901); null if it does not exist.
    pub(crate) fn said(&self, pointer: &str) -> &Value {
        self.report
            .as_ref()
            .and_then(|report| report.pointer(pointer))
            .unwrap_or(&Value::Null)
    }

    /// The differences between the report and the journal of the Region: for each item the creation and completion of
    /// the restore job, the attachment of a volume, and the phases and sums.
    pub(crate) fn disagreements(&self, journal: &[Value]) -> Vec<String> {
        let mut wrong = Vec::new();
        let items = self.said("/items").as_array().cloned().unwrap_or_default();
        if items.is_empty() {
            wrong.push("the report has no items".to_owned());
        }
        let mut last_completed = f64::MIN;
        let mut last_integrated = f64::MIN;
        for item in &items {
            let text = |name: &str| item[name].as_str().unwrap_or_default();
            let mut same = |what: &str, holds: &dyn Fn(&Value) -> bool, said: &str| -> f64 {
                let Some(entry) = journal.iter().find(|entry| holds(entry)) else {
                    wrong.push(format!(
                        "{}: {what} is not in the journal",
                        text("resourceArn")
                    ));
                    return f64::MIN;
                };
                let time = entry["time"].as_f64().unwrap_or_default();
                // EC2 and AWS Backup return times to the second.
                let said = seconds(text(said));
                if said.is_none_or(|said| (said - time).abs() > 1.1) {
                    wrong.push(format!(
                        "{}: {what} at {time}, and the report says {said:?}",
                        text("resourceArn")
                    ));
                }
                time
            };
            let of_job = |entry: &Value, status: &str| {
                entry["kind"] == "restore-job"
                    && entry["restoreJobId"] == text("jobId")
                    && entry["status"] == status
            };
            same("began", &|entry| of_job(entry, "RUNNING"), "startedAt");
            let completed = same(
                "completed",
                &|entry| of_job(entry, "COMPLETED"),
                "completedAt",
            );
            last_completed = last_completed.max(completed);
            if item["type"] != "EBS" {
                let integrated = seconds(text("integratedAt")).unwrap_or(f64::MIN);
                if integrated < completed - 1.1 {
                    wrong.push(format!(
                        "{}: completed at {completed}, and integrated at {integrated}",
                        text("resourceArn")
                    ));
                }
                last_integrated = last_integrated.max(integrated);
                continue;
            }
            let attached = same(
                "attached",
                &|entry| {
                    entry["kind"] == "volume-attached" && entry["volumeId"] == text("volumeId")
                },
                "integratedAt",
            );
            last_integrated = last_integrated.max(attached);
        }
        let phases: BTreeMap<&str, (f64, f64, i64)> = self
            .said("/phases")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|phase| {
                Some((
                    phase["phase"].as_str()?,
                    (
                        seconds(phase["from"].as_str()?)?,
                        seconds(phase["to"].as_str()?)?,
                        phase["seconds"].as_i64()?,
                    ),
                ))
            })
            .collect();
        for (name, ends) in [("restore", last_completed), ("integrate", last_integrated)] {
            if phases
                .get(name)
                .is_none_or(|(_, to, _)| (to - ends).abs() > 1.1)
            {
                wrong.push(format!(
                    "the phase {name} ends at {ends}, and the report says {phases:?}"
                ));
            }
        }
        let sum: i64 = phases.values().map(|(_, _, seconds)| seconds).sum();
        let whole = self.said("/rto/achievedSeconds").as_i64().unwrap_or(-1);
        if (sum - whole).unsigned_abs() as usize > phases.len() {
            wrong.push(format!(
                "the phases take {sum} s, and the recovery {whole} s"
            ));
        }
        wrong
    }
}

/// Seconds since 1970 of a time in RFC 3339.
pub(crate) fn seconds(moment: &str) -> Option<f64> {
    let moment = chrono::DateTime::parse_from_rfc3339(moment).ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds of this century are exact"
    )]
    let seconds = moment.timestamp_millis() as f64 / 1000.0;
    Some(seconds)
}
