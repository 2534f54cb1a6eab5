//! Integrates a restored DynamoDB table: gives it the settings that a restore loses, publishes its name, and
//! records the result.
//!
//! It can be repeated, and run twice at the same time: each step is decided from what the table shows. Nothing in a
//! table says that it was restored, so the OpsItem of the job records that it is configured. From then on, its settings
//! belong to its owner.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{join3, try_join3};

use crate::aws::arn::Arn;
use crate::aws::backup::{Restore, RestoreJob};
use crate::aws::table::{
    ChangeAnswer, ContinuousBackups, SettingChange, Table, TableStatus, TimeToLive, table_name,
};
use crate::error::{Error, Fault};
use crate::integrate::backoff::RESERVE;
use crate::integrate::publish::Publication;
use crate::integrate::record::TAGS_FROM;
use crate::integrate::run_job::{Admission, admit, source_of};
use crate::integrate::run_publish::publish;
use crate::integrate::run_record::{
    record_data, record_failure, record_result, record_untagged, refuse,
};
use crate::integrate::run_tags::tags_of;
use crate::integrate::skip::{Ownership, check_drill_stack, drill_name};
use crate::integrate::table::decide::{Observed, ObservedSettings, Setting, Step, next_step};
use crate::integrate::table::kind::DYNAMODB_TABLE;
use crate::integrate::table::record::{Configured, Published, is_configured, is_recorded, outcome};
use crate::integrate::table::refusal::TableRefusal;
use crate::integrate::table::settings::TableSettings;
use crate::ops_item::restore_key;
use crate::ops_item::run::first_of;
use crate::outcome::Outcome;
use crate::plan::names::NameKind;
use crate::ports::{Clock, TablePorts, Tables};
use crate::tags::{IDENTIFIER, PUBLISH, STACK, TABLE, Tags, WORKLOAD, value};

/// How long a run works on a table. A table that needs longer is pending.
const WORK: Duration = Duration::from_secs(45);
/// Pauses between two observations; the last one repeats. They begin anew after each change, which takes seconds.
const PAUSES: [u64; 4] = [1, 2, 3, 5];

/// What the integration of tables needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableConfig {
    pub ownership: Ownership,
    /// The path of parameters below which this deployment may publish. It ends with a slash.
    pub publish_path: String,
}

/// Integrates a restore. Fields of its job that the event lacks are read from AWS Backup.
///
/// # Errors
/// [`Error::Retryable`] if a call failed that can succeed later; [`Error::Permanent`] if a call cannot succeed. A refusal
/// is not an error: operators are notified, or the answer contains the remedy.
pub async fn integrate(
    ports: &impl TablePorts,
    clock: &impl Clock,
    config: &TableConfig,
    restore: impl Into<Restore>,
) -> Result<Outcome, Error> {
    let TableConfig {
        ownership,
        publish_path,
    } = config;
    let (restore, created) = match admit(
        ports.restore_jobs(),
        ownership,
        &DYNAMODB_TABLE,
        restore.into(),
    )
    .await?
    {
        Admission::Integrate { restore, created } => (restore, created),
        Admission::Skip(outcome) => return Ok(outcome),
    };
    let Some(name) = table_name(&created) else {
        return Ok(Outcome::ignored("resource-type"));
    };
    let refused =
        async |refusal: TableRefusal| refuse(ports, &DYNAMODB_TABLE, &restore, &refusal).await;
    if let Some(refusal) = ownership.refuses(&created) {
        return refuse(ports, &DYNAMODB_TABLE, &restore, &refusal).await;
    }
    let drill = drill_name(&restore)?;
    // The item of the plan comes with each request; only the reconciler needs the record.
    if let Some(from) = &restore.planned.tags_from {
        record_data(ports.ops_items(), &restore, TAGS_FROM, from.as_str()).await?;
    }
    let (tags, mut table, item) = join3(
        tags_of_table(ports, &restore),
        ports.tables().describe(name),
        first_of(ports.ops_items(), &restore_key(&restore.job.id)),
    )
    .await;
    let tags = tags?;
    if ![WORKLOAD, TABLE, PUBLISH]
        .iter()
        .any(|tag| value(&tags, tag).is_some())
    {
        record_untagged(ports.ops_items(), &DYNAMODB_TABLE, &restore).await?;
        return Ok(Outcome::ignored("untagged").with("tableName", name));
    }
    if let Err(outcome) = check_drill_stack(&restore, value(&tags, STACK)) {
        return Ok(outcome);
    }
    // Settings that the owner has changed since are not made again, so the table must be known first.
    if let Some(item) = item?.filter(is_configured) {
        let found = table?;
        if is_recorded(&item, found.as_ref()) {
            let done = Outcome::already_integrated();
            return Ok(outcome(done, &restore.job, name, Some(&item.id)));
        }
        table = Ok(found);
    }
    if drill.is_none()
        && let Some(refusal) = other_name(ports, &restore.job, &tags, name).await?
    {
        return refused(refusal).await;
    }
    let wanted = TableSettings::of(&tags, restore.drill.is_some());
    let configured =
        match configure(ports, clock, &restore.job, (&created, name), table, &wanted).await {
            Ok(Configuration::Done(configured)) => configured,
            Ok(Configuration::Refused(refusal)) => return refused(refusal).await,
            Ok(Configuration::Pending(what)) => {
                return Ok(Outcome::pending(what)
                    .with("restoreJobId", restore.job.id.as_str())
                    .with("tableName", name));
            }
            Err(error) => return Err(recorded(ports, &restore, error).await),
        };
    let published = match published(ports, &restore, &tags, publish_path, drill, &configured).await
    {
        Ok(published) => published,
        Err(error) => return Err(recorded(ports, &restore, error).await),
    };
    let now = clock.now();
    let item = record_result(
        ports,
        &restore,
        configured.by_this_run || published.parameters.written,
        None,
        |item| is_recorded(item, Some(&configured.table)),
        |item| configured.change(&restore, &wanted, &published, item, now),
    )
    .await?;
    Ok(outcome(
        Outcome::integrated(),
        &restore.job,
        name,
        item.as_ref(),
    ))
}

/// The error, after it was recorded and operators were notified if no later run can succeed either: a change that
/// failed permanently.
async fn recorded(ports: &impl TablePorts, restore: &Restore, error: Error) -> Error {
    let fault = match error {
        Error::Permanent(fault) if !fault.is_read_only() => fault,
        other => return other,
    };
    let is_disconnected = async || Ok(false);
    match record_failure(ports, &DYNAMODB_TABLE, restore, &fault, is_disconnected).await {
        Err(later @ Error::Retryable(_)) => later,
        Ok(()) | Err(Error::Permanent(_)) => Error::Permanent(fault),
    }
}

/// The tags of the job's recovery point. A recovery point that DynamoDB has itself, because it was made without the
/// advanced features, has no tags.
async fn tags_of_table(ports: &impl TablePorts, restore: &Restore) -> Result<Tags, Error> {
    let mut points = restore.job.points();
    if points.all(|point| point.arn().service() == "dynamodb") {
        return Ok(Tags::new());
    }
    tags_of(ports, &restore.job, restore.planned.tags_from.as_ref()).await
}

/// The refusal of a table that has another name than the workload's: a person may have restored a copy for another
/// purpose, and the application must not be led to it.
///
/// # Errors
/// Those of the port.
async fn other_name(
    ports: &impl TablePorts,
    job: &RestoreJob,
    tags: &Tags,
    name: &str,
) -> Result<Option<TableRefusal>, Error> {
    let tagged = value(tags, IDENTIFIER).filter(|name| NameKind::Table.accepts(name));
    let wanted = match tagged {
        Some(name) => Some(name.to_owned()),
        None => {
            let source = source_of(ports.restore_jobs(), job).await?;
            source.as_ref().and_then(table_name).map(str::to_owned)
        }
    };
    Ok(
        (wanted.as_deref() != Some(name)).then(|| TableRefusal::OtherName {
            table: name.to_owned(),
            wanted,
        }),
    )
}

/// How the configuration ended.
enum Configuration {
    Done(Box<Configured>),
    Refused(TableRefusal),
    /// The time of this run is up. The text says what is awaited.
    Pending(String),
}

/// The settings of a table, as far as they are known.
#[derive(Default)]
struct KnownSettings {
    backups: Option<ContinuousBackups>,
    ttl: Option<TimeToLive>,
    tags: Option<Tags>,
}

impl KnownSettings {
    /// Reads what is not known, concurrently. `None` if DynamoDB does not show all of it yet.
    async fn read(
        &mut self,
        tables: &impl Tables,
        (arn, name): (&Arn, &str),
    ) -> Result<Option<ObservedSettings>, Error> {
        let known = std::mem::take(self);
        let (backups, ttl, tags) = try_join3(
            async {
                match known.backups {
                    None => tables.continuous_backups(name).await,
                    known => Ok(known),
                }
            },
            async {
                match known.ttl {
                    None => tables.time_to_live(name).await,
                    known => Ok(known),
                }
            },
            async {
                match known.tags {
                    None => tables.list_tags(arn).await,
                    known => Ok(known),
                }
            },
        )
        .await?;
        *self = KnownSettings { backups, ttl, tags };
        Ok(match self {
            KnownSettings {
                backups: Some(backups),
                ttl: Some(ttl),
                tags: Some(tags),
            } => Some(ObservedSettings {
                backups: *backups,
                ttl: ttl.clone(),
                tags: tags.clone(),
            }),
            _ => None,
        })
    }

    /// Forgets what a change changes.
    fn forget(&mut self, setting: Setting) {
        match setting {
            Setting::Tags => self.tags = None,
            Setting::ContinuousBackups => self.backups = None,
            Setting::TimeToLive => self.ttl = None,
            // DescribeTable shows them.
            Setting::Stream | Setting::Class | Setting::Protection => {}
        }
    }
}

/// Makes one change after the other, until the table has its settings, a rule forbids it, or the time is up. `table` is
/// its first observation.
///
/// # Errors
/// [`Error::Retryable`] if the time is up and the last call failed; [`Error::Permanent`] if a call cannot succeed.
async fn configure(
    ports: &impl TablePorts,
    clock: &impl Clock,
    job: &RestoreJob,
    (arn, name): (&Arn, &str),
    mut table: Result<Option<Table>, Error>,
    wanted: &TableSettings,
) -> Result<Configuration, Error> {
    let until = clock.now() + WORK;
    let mut known = KnownSettings::default();
    let mut rejected = BTreeMap::new();
    let mut by_this_run = false;
    let mut pauses = PAUSES.iter();
    loop {
        let step = match observed(ports.tables(), &mut known, (arn, name), table).await {
            Ok(Some(Observed { table, .. }))
                if job
                    .completed
                    .is_some_and(|completed| table.created > completed) =>
            {
                Ok(Step::Refuse(TableRefusal::Replaced {
                    table: name.to_owned(),
                }))
            }
            Ok(Some(observed)) => match (next_step(&observed, wanted, &rejected), observed) {
                (
                    Step::Done,
                    Observed {
                        name,
                        table,
                        settings: Some(settings),
                    },
                ) => {
                    return Ok(Configuration::Done(Box::new(Configured {
                        name,
                        table,
                        settings,
                        rejected,
                        by_this_run,
                    })));
                }
                (step, _) => Ok(step),
            },
            Ok(None) => Err(Missing::Table),
            Err(Error::Retryable(fault)) => Err(Missing::Answer(fault)),
            Err(permanent) => return Err(permanent),
        };
        let awaited = match step {
            Ok(Step::Refuse(refusal)) => return Ok(Configuration::Refused(refusal)),
            Ok(Step::Wait(what)) => Ok(what),
            Ok(Step::Done) => Ok(format!("table {name} to show its settings")),
            Ok(Step::Change(change)) => {
                let setting = Setting::of(&change);
                let shows = format!("table {name} to show its {}", setting.name());
                match make(ports.tables(), (arn, name), &change).await {
                    Ok(ChangeAnswer::Rejected(fault)) => {
                        rejected.insert(setting, fault.message().to_owned());
                        Ok(shows)
                    }
                    Ok(ChangeAnswer::Busy(fault)) => {
                        known.forget(setting);
                        Ok(format!("DynamoDB ({})", fault.message()))
                    }
                    Ok(answer) => {
                        by_this_run |= matches!(answer, ChangeAnswer::Accepted);
                        known.forget(setting);
                        pauses = PAUSES.iter();
                        Ok(shows)
                    }
                    Err(Error::Retryable(fault)) => {
                        // It may have taken effect.
                        known.forget(setting);
                        Err(Missing::Answer(fault))
                    }
                    Err(permanent) => return Err(permanent),
                }
            }
            Err(missing) => Err(missing),
        };
        let longest = PAUSES[PAUSES.len() - 1];
        let pause = Duration::from_secs(*pauses.next().unwrap_or(&longest));
        if clock.now() + pause > until || clock.remaining() < pause + RESERVE {
            return match awaited {
                Ok(what) => Ok(Configuration::Pending(what)),
                // The restore job completed, and DescribeTable shows a table from its first moment on.
                Err(Missing::Table) => Ok(Configuration::Refused(TableRefusal::Gone {
                    table: name.to_owned(),
                })),
                Err(Missing::Answer(fault)) => Err(Error::Retryable(fault)),
            };
        }
        clock.sleep(pause).await;
        table = ports.tables().describe(name).await;
    }
}

/// Why there is no next step.
enum Missing {
    /// The table does not exist.
    Table,
    /// A call failed that can succeed later.
    Answer(Fault),
}

/// The table with its settings; `None` if it does not exist.
async fn observed(
    tables: &impl Tables,
    known: &mut KnownSettings,
    (arn, name): (&Arn, &str),
    table: Result<Option<Table>, Error>,
) -> Result<Option<Observed>, Error> {
    let Some(table) = table? else {
        return Ok(None);
    };
    let settings = match table.status {
        TableStatus::Active => known.read(tables, (arn, name)).await?,
        _ => None,
    };
    Ok(Some(Observed {
        name: name.to_owned(),
        table,
        settings,
    }))
}

/// Makes one change.
async fn make(
    tables: &impl Tables,
    (arn, name): (&Arn, &str),
    change: &SettingChange,
) -> Result<ChangeAnswer, Error> {
    match change {
        SettingChange::Tags(tags) => tables.tag(arn, tags).await,
        SettingChange::Table(change) => tables.update(name, change).await,
        SettingChange::ContinuousBackups(days) => {
            tables.update_continuous_backups(name, *days).await
        }
        SettingChange::TimeToLive(attribute) => tables.update_time_to_live(name, attribute).await,
    }
}

/// Publishes the name of the table, after it has its settings: what an application writes before the stream is enabled
/// would not be in the stream.
async fn published(
    ports: &impl TablePorts,
    restore: &Restore,
    tags: &Tags,
    allowed: &str,
    drill: Option<&str>,
    configured: &Configured,
) -> Result<Published, Error> {
    let publication = match Publication::of(tags, allowed, drill) {
        Ok(Some(publication)) => publication,
        Ok(None) => return Ok(Published::default()),
        Err(unusable) => {
            return Ok(Published {
                unusable: Some(unusable),
                ..Published::default()
            });
        }
    };
    let Configured { name, table, .. } = configured;
    let stream = table.stream.as_ref();
    let values: Vec<(&'static str, String)> =
        [("name", name.clone()), ("arn", table.arn.to_string())]
            .into_iter()
            .chain(stream.map(|stream| ("stream-arn", stream.arn.clone())))
            .collect();
    Ok(Published {
        parameters: publish(ports, restore, &publication, &values).await?,
        path: Some(publication.path().to_owned()),
        unusable: None,
    })
}
