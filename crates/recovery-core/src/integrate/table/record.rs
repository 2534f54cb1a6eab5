//! What the OpsItem of a restore job says about the configuration of its table.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, OpsItemId};
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::table::{Stream, Table};
use crate::integrate::publish::replaced_note;
use crate::integrate::record::{IntegrationResult, result_change};
use crate::integrate::run_publish::Publishing;
use crate::integrate::table::decide::{Conflict, ObservedSettings, Setting, additions, conflicts};
use crate::integrate::table::kind::{DYNAMODB_TABLE, STREAM, TABLE, TABLE_ID};
use crate::integrate::table::settings::{TableSettings, WORDS};
use crate::ops_item::{INTEGRATION, says};
use crate::ops_item::{OpsItem, OpsItemChange};
use crate::outcome::Outcome;
use crate::tags::{TABLE as TABLE_TAG, UnusableTag};
use crate::text::{code, shown};

/// Settings of a table that the tag can name, and that no tag names.
const UNNAMED: &str =
    "point-in-time recovery, time to live, stream, table class, deletion protection, ";
/// Settings of a table that a restore loses, and that no tag can name.
const LOST: &str =
    "auto scaling, alarms, resource policy, Kinesis destination, Contributor Insights, replicas";

/// A table that has its settings.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) name: String,
    pub(super) table: Table,
    pub(super) settings: ObservedSettings,
    /// The settings that DynamoDB rejected, and why.
    pub(super) rejected: BTreeMap<Setting, String>,
    /// Whether this run made a change.
    pub(super) by_this_run: bool,
}

/// What was published.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// The path of the parameters, if something was published.
    pub(super) path: Option<String>,
    /// What this run published.
    pub(super) parameters: Publishing,
    /// Why nothing was published.
    pub(super) unusable: Option<UnusableTag>,
}

/// The answer of the function for a table that is configured.
pub(super) fn outcome(
    outcome: Outcome,
    job: &RestoreJob,
    table: &str,
    item: Option<&OpsItemId>,
) -> Outcome {
    outcome
        .with("restoreJobId", job.id.as_str())
        .with("tableName", table)
        .with_item(item)
}

/// Whether the item records that a table is configured.
pub(super) fn is_configured(item: &OpsItem) -> bool {
    says(item, INTEGRATION, DYNAMODB_TABLE.integrated)
}

/// Whether the item records that the table of its job is configured. `table` is the table with this name now; `None` if
/// it was deleted since.
pub(super) fn is_recorded(item: &OpsItem, table: Option<&Table>) -> bool {
    is_configured(item) && table.is_none_or(|table| says(item, TABLE_ID, &table.id))
}

impl Configured {
    /// The stream that the tags ask for.
    pub(super) fn stream(&self, wanted: &TableSettings) -> Option<&Stream> {
        let stream = self.table.stream.as_ref();
        stream.filter(|_| wanted.stream.is_some())
    }

    /// The change that records the configuration in the job's item, of which `item` is known.
    pub(super) fn change(
        &self,
        restore: &Restore,
        wanted: &TableSettings,
        published: &Published,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let result = IntegrationResult {
            continues: None,
            title: format!("Restored table {} configured", self.name),
            done: self.done(wanted, published),
            left: self.left(restore, wanted, published),
            notes: replaced_note(item, &published.parameters.replaced)
                .into_iter()
                .collect(),
            data: [
                (TABLE, self.table.arn.to_string()),
                (TABLE_ID, self.table.id.clone()),
            ]
            .into_iter()
            .chain(
                self.table
                    .stream
                    .as_ref()
                    .map(|stream| (STREAM, stream.arn.clone())),
            )
            .collect(),
        };
        result_change(&DYNAMODB_TABLE, restore, result, now)
    }

    /// What was done, as a sentence without its full stop.
    fn done(&self, wanted: &TableSettings, published: &Published) -> String {
        let mut done = String::new();
        let others = additions(&self.table, &self.settings, wanted);
        if !others.is_empty() {
            done += &format!(
                "Settings that no tag names were left as they are: {}. ",
                code(&others.join(", "))
            );
        }
        done += &format!("The table {} has the settings", code(&self.name));
        done += " that its tags name";
        if let Some(path) = &published.path {
            done += &format!(", and is published below {}", code(path));
        }
        done
    }

    /// What a person must still do.
    fn left(
        &self,
        restore: &Restore,
        wanted: &TableSettings,
        published: &Published,
    ) -> Vec<String> {
        let mut left = Vec::new();
        for (setting, why) in &self.rejected {
            left.push(format!(
                "DynamoDB rejected the {}: {}. Make this setting yourself{}{}.",
                setting.name(),
                code(why.trim_end_matches('.')),
                match setting {
                    Setting::TimeToLive => ", about an hour after its last change",
                    _ => "",
                },
                command(*setting, wanted, &self.table.arn, &self.name)
                    .map_or(String::new(), |command| format!(": {}", code(&command))),
            ));
        }
        for Conflict {
            setting,
            found,
            wanted,
        } in conflicts(&self.table, &self.settings, wanted)
        {
            left.push(format!(
                "Another {} was found and left as it is: {} instead of {}. Decide which one is right.",
                setting.name(),
                code(&found),
                code(&wanted)
            ));
        }
        for word in &wanted.unusable {
            left.push(format!(
                "The tag {TABLE_TAG} contains {}, but its words are {WORDS}, each at most once. Make this setting yourself, and correct the tag of the protected table.",
                code(word)
            ));
        }
        if let Some(unusable) = &published.unusable {
            left.push(format!(
                "An optional tag could not be used: {unusable}. {}",
                unusable.remedy()
            ));
        }
        if let Some(stream) = self.stream(wanted).filter(|_| restore.drill.is_none()) {
            left.push(format!(
                "The table has a new stream. Consumers of the old one read nothing. For each Lambda function that reads it, run `aws lambda create-event-source-mapping --region {0} --starting-position TRIM_HORIZON --event-source-arn {1} --function-name` with its name, and delete the mappings of other streams in `aws lambda list-event-source-mappings --region {0} --query \"EventSourceMappings[?contains(EventSourceArn, ':table/{2}/stream/')]\"`.",
                self.table.arn.region(),
                shown(&stream.arn),
                shown(&self.name)
            ));
        }
        if !wanted.nothing_else {
            let unnamed = if wanted.tagged { "" } else { UNNAMED };
            left.push(format!(
                "A restore loses more settings, and no tag says whether the table had them: {unnamed}{LOST}. Make those that it needs. For later recoveries, add the word `nothing-else` to the tag {TABLE_TAG} if there are none.",
            ));
        }
        left
    }
}

/// The command that makes a setting. It names the Region, because the primary Region has a table with the same name.
fn command(setting: Setting, wanted: &TableSettings, table: &Arn, name: &str) -> Option<String> {
    let region = table.region();
    let (operation, arguments) = match setting {
        Setting::Tags => return None,
        Setting::Stream => (
            "update-table",
            format!(
                "--stream-specification StreamEnabled=true,StreamViewType={}",
                wanted.stream.as_ref()?
            ),
        ),
        Setting::ContinuousBackups => (
            "update-continuous-backups",
            format!(
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true,RecoveryPeriodInDays={}",
                wanted.pitr?.unwrap_or(35)
            ),
        ),
        Setting::Class => (
            "update-table",
            format!("--table-class {}", wanted.class.as_ref()?),
        ),
        Setting::Protection => ("update-table", "--deletion-protection-enabled".to_owned()),
        Setting::TimeToLive => (
            "update-time-to-live",
            format!(
                "--time-to-live-specification Enabled=true,AttributeName={}",
                wanted.ttl.as_ref()?
            ),
        ),
    };
    Some(format!(
        "aws dynamodb {operation} --region {region} --table-name {name} {arguments}"
    ))
}
