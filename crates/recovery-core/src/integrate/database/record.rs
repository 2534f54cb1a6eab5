//! What the OpsItem of a restore job says about the integration of its database.

use chrono::{DateTime, TimeDelta, Utc};

use crate::aws::arn::OpsItemId;
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::database::{DbChange, DbInstance, DbSettings};
use crate::integrate::database::decide::{Observed, Progress, is_lost};
use crate::integrate::database::kind::{DATABASE, DEFERRED, ENDPOINT, IDENTIFIER};
use crate::integrate::database::wanted::Wanted;
use crate::integrate::publish::replaced_note;
use crate::integrate::record::{IntegrationResult, LEFT, result_change, shown_left};
use crate::ops_item::{INTEGRATION, says};
use crate::ops_item::{OpsItem, OpsItemChange, Status};
use crate::outcome::Outcome;
use crate::text::code;

/// An integrated database.
#[derive(Debug)]
pub(super) struct Integrated<'a> {
    pub(super) seen: &'a Observed,
    pub(super) wanted: &'a Wanted,
    pub(super) progress: &'a Progress,
    /// The parameters that this run replaced.
    pub(super) replaced: &'a [String],
}

/// Host and port, as text.
pub(super) fn endpoint(seen: &Observed) -> String {
    seen.endpoint()
        .map_or(String::new(), |(host, port)| format!("{host}:{port}"))
}

/// The addresses, by the last part of the names of their parameters.
pub(super) fn addresses(seen: &Observed) -> Vec<(&'static str, String)> {
    let (id, arn, engine, reader) = match seen {
        Observed::Instance(it) => (it.id.as_str(), &it.arn, &it.engine, None),
        Observed::Cluster(it, _) => (
            it.id.as_str(),
            &it.arn,
            &it.engine,
            it.reader_endpoint.as_ref(),
        ),
    };
    let endpoint = seen.endpoint().into_iter();
    endpoint
        .flat_map(|(host, port)| [("endpoint", host.clone()), ("port", port.to_string())])
        .chain(reader.map(|reader| ("reader-endpoint", reader.clone())))
        .chain([
            ("arn", arn.clone()),
            ("id", id.to_owned()),
            ("engine", engine.clone()),
        ])
        .collect()
}

fn identifier(seen: &Observed) -> &str {
    match seen {
        Observed::Instance(instance) => instance.id.as_str(),
        Observed::Cluster(cluster, _) => cluster.id.as_str(),
    }
}

fn engine(seen: &Observed) -> &str {
    match seen {
        Observed::Instance(instance) => &instance.engine,
        Observed::Cluster(cluster, _) => &cluster.engine,
    }
}

/// Whether the item records that this database is integrated, and nothing is left to do.
pub(super) fn records_all(item: &OpsItem, seen: &Observed) -> bool {
    item.status == Status::Resolved && is_integrated(item, seen)
}

/// Whether the item records that this database is integrated.
fn is_integrated(item: &OpsItem, seen: &Observed) -> bool {
    says(item, INTEGRATION, DATABASE.integrated)
        && says(item, IDENTIFIER, identifier(seen))
        && says(item, ENDPOINT, &endpoint(seen))
}

/// The answer of the function. `item` is the id of the job's OpsItem, if it has one.
pub(super) fn outcome(
    by_this_run: bool,
    seen: &Observed,
    job: &RestoreJob,
    item: Option<&OpsItemId>,
) -> Outcome {
    let outcome = if by_this_run {
        Outcome::integrated()
    } else {
        Outcome::already_integrated()
    };
    outcome
        .with("restoreJobId", job.id.as_str())
        .with("databaseId", identifier(seen))
        .with("endpoint", endpoint(seen))
        .with_item(item)
}

impl Integrated<'_> {
    /// Whether the item records this result.
    pub(super) fn is_recorded(&self, item: &OpsItem) -> bool {
        is_integrated(item, self.seen) && says(item, LEFT, &shown_left(&self.left()))
    }

    /// The change that records the result in the job's item, of which `item` is known.
    pub(super) fn change(
        &self,
        restore: &Restore,
        item: Option<&OpsItem>,
        now: DateTime<Utc>,
    ) -> OpsItemChange {
        let left = self.left();
        let (noun, engine) = match self.seen {
            Observed::Instance(it) => ("instance", format!("{} {}", it.engine, it.engine_version)),
            Observed::Cluster(it, _) => ("cluster", format!("{} {}", it.engine, it.engine_version)),
        };
        let left_to_do = shown_left(&left);
        let deferred = self.deferred().join(" ");
        // Settings that are applied after a backup do not change when applications could reach the database.
        let integrated_at = item
            .filter(|item| is_integrated(item, self.seen))
            .and_then(|item| item.data.get(DATABASE.seconds_key)?.parse().ok())
            .and_then(|seconds| Some(restore.job.completed? + TimeDelta::try_seconds(seconds)?));
        let result = IntegrationResult {
            continues: None,
            title: format!("Restored {noun} {} integrated", identifier(self.seen)),
            done: format!(
                "The {noun} {} ({}) can be reached at {}{}",
                code(identifier(self.seen)),
                code(&engine),
                code(&endpoint(self.seen)),
                self.instances()
            ),
            notes: self.notes(item),
            left,
            data: vec![
                (IDENTIFIER, identifier(self.seen).to_owned()),
                (ENDPOINT, endpoint(self.seen)),
                (LEFT, left_to_do),
                (
                    DEFERRED,
                    if deferred.is_empty() {
                        "none".to_owned()
                    } else {
                        deferred
                    },
                ),
            ],
        };
        result_change(&DATABASE, restore, result, integrated_at.unwrap_or(now))
    }

    /// The instances of a cluster, as the end of a sentence.
    fn instances(&self) -> String {
        let ids = self.wanted.instances.iter();
        let ids: Vec<String> = ids.map(|it| code(it.id.as_str())).collect();
        match ids.as_slice() {
            [] => String::new(),
            ids => format!(", with {}", ids.join(", ")),
        }
    }

    /// What an operator should know, as sentences.
    fn notes(&self, item: Option<&OpsItem>) -> Vec<String> {
        let mut notes = Vec::new();
        match &self.wanted.publication {
            Some(publication) => notes.push(format!(
                "Its addresses are published below {}.",
                code(publication.path())
            )),
            None => notes.push("Its addresses are not published in parameters.".to_owned()),
        }
        notes.extend(replaced_note(item, self.replaced));
        // Neptune has no passwords.
        if engine(self.seen) != "neptune" {
            notes.push("The master password is that of the recovery point. A secret that RDS managed is not restored: if there was one, create a new one (ManageMasterUserPassword).".to_owned());
        }
        if let Observed::Cluster(cluster, _) = self.seen
            && let (Some(wanted), Some(found)) = (self.wanted.scaling, cluster.scaling)
            && wanted != found
        {
            notes.push(format!(
                "Its serverless capacity was {found} already, and stays, although the tag recovery:instances says {wanted}."
            ));
        }
        let check = if self.wanted.names_settings {
            "A restore loses settings. Check those that the tag recovery:database does not name"
        } else {
            "A restore loses settings, and the recovery point has no tag recovery:database. Check"
        };
        notes.push(format!(
            "{check}: {}{}.",
            settings_now(self.seen),
            match self.seen {
                Observed::Instance(_) => "monitoring, roles, proxies, alarms",
                Observed::Cluster(..) =>
                    "roles, custom endpoints, scaling of readers, the global database, I/O-optimized storage, proxies, alarms",
            }
        ));
        notes
    }

    /// What a person must still do.
    fn left(&self) -> Vec<String> {
        let unusable = self.wanted.unusable_tags.iter().map(|unusable| {
            format!(
                "An optional tag could not be used: {unusable}. {} For later recoveries, correct the tag of the protected resource in the primary Region.",
                unusable.remedy()
            )
        });
        let rejected = self.progress.rejected.iter().map(|(id, change, message)| {
            format!(
                "RDS did not apply {} to {}: {}. Apply the setting yourself, or remove it from the tag recovery:database.",
                code(&change.to_string()),
                code(id.as_str()),
                code(message.trim_end_matches('.'))
            )
        });
        let deferred = self.deferred();
        let deferred = (!deferred.is_empty()).then(|| {
            format!(
                "RDS is backing the database up, and accepts no change meanwhile. After the backup, `restore-reconciler` applies {}, except in a drill. If this OpsItem is still open a day after the restore, run the integration of this restore job again.",
                code(&deferred.join(" "))
            )
        });
        unusable.chain(rejected).chain(deferred).collect()
    }

    /// The settings that RDS does not accept during a backup.
    fn deferred(&self) -> Vec<String> {
        let is_ours =
            |instance: &&DbInstance| self.wanted.instances.iter().any(|it| it.id == instance.id);
        let (own, of_instances): (&DbSettings, Vec<&DbSettings>) = match self.seen {
            Observed::Instance(it) => (&it.settings, Vec::new()),
            Observed::Cluster(it, all) => {
                let ours = all.iter().filter(is_ours);
                (&it.settings, ours.map(|it| &it.settings).collect())
            }
        };
        let is_rejected =
            |change: &DbChange| self.progress.rejected.iter().any(|(_, it, _)| it == change);
        let own = self.wanted.changes.iter().filter(|it| is_lost(it, own));
        let changes_of_instances = self.wanted.changes_of_instances.iter();
        changes_of_instances
            .filter(|change| of_instances.iter().any(|it| is_lost(change, it)))
            .chain(own)
            .filter(|change| !is_rejected(change))
            .map(ToString::to_string)
            .collect()
    }
}

/// Settings that a restore loses, as they are now, as the beginning of a list.
fn settings_now(seen: &Observed) -> String {
    let settings = match seen {
        Observed::Instance(instance) => &instance.settings,
        Observed::Cluster(cluster, _) => &cluster.settings,
    };
    let on = |on: bool| if on { "on" } else { "off" };
    let logs = if settings.log_exports.is_empty() {
        "off"
    } else {
        "on"
    };
    format!(
        "deletion protection (now {}), backup retention (now {} days), IAM authentication (now {}), log exports (now {logs}), Performance Insights, ",
        on(settings.deletion_protection),
        settings.retention_days,
        on(settings.iam_authentication),
    )
}
