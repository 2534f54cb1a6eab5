//! Decides the next step of a table's configuration from its observed settings.

use std::collections::BTreeMap;

use crate::aws::table::{
    ContinuousBackups, SettingChange, Table, TableChange, TableClass, TableStatus, TimeToLive,
    TimeToLiveStatus,
};
use crate::integrate::table::refusal::TableRefusal;
use crate::integrate::table::settings::TableSettings;
use crate::tags::Tags;

/// A table as it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Its name.
    pub name: String,
    pub table: Table,
    /// Its settings. `None` before they can be read: while DynamoDB creates a table, every operation except
    /// `DescribeTable` answers that it does not exist.
    pub settings: Option<ObservedSettings>,
}

/// The settings that `DescribeTable` does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedSettings {
    pub backups: ContinuousBackups,
    pub ttl: TimeToLive,
    pub tags: Tags,
}

/// A kind of setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    Tags,
    Stream,
    ContinuousBackups,
    Class,
    Protection,
    TimeToLive,
}

impl Setting {
    /// The setting that a change makes.
    pub(crate) fn of(change: &SettingChange) -> Setting {
        match change {
            SettingChange::Tags(_) => Setting::Tags,
            SettingChange::Table(TableChange::Stream(_)) => Setting::Stream,
            SettingChange::Table(TableChange::Class(_)) => Setting::Class,
            SettingChange::Table(TableChange::Protection) => Setting::Protection,
            SettingChange::ContinuousBackups(_) => Setting::ContinuousBackups,
            SettingChange::TimeToLive(_) => Setting::TimeToLive,
        }
    }

    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Setting::Tags => "tags",
            Setting::Stream => "stream",
            Setting::ContinuousBackups => "point-in-time recovery",
            Setting::Class => "table class",
            Setting::Protection => "deletion protection",
            Setting::TimeToLive => "time to live",
        }
    }
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// None: the table has its settings.
    Done,
    /// Make this change.
    Change(SettingChange),
    /// Check again later. The text says what is awaited.
    Wait(String),
    /// Stop: a rule forbids it.
    Refuse(TableRefusal),
}

/// Decides the next step. DynamoDB has rejected the settings in `rejected`: they are not tried again.
///
/// The order, which an interruption does not change because each step is decided from what is observed:
///
/// - Tags first: permissions may depend on them.
/// - The stream before time to live: a consumer of the stream may store the items that expire.
/// - Continuous backups after the stream: in the first seconds of a table, DynamoDB does not accept them.
///
/// A setting that somebody else made stays as it is: see [`conflicts`].
#[must_use]
pub fn next_step(
    observed: &Observed,
    wanted: &TableSettings,
    rejected: &BTreeMap<Setting, String>,
) -> Step {
    let Observed { name, table, .. } = observed;
    match &table.status {
        TableStatus::Active => {}
        TableStatus::Creating | TableStatus::Updating => {
            return Step::Wait(format!("table {name} to be ACTIVE (now {})", table.status));
        }
        TableStatus::KeyUnusable => {
            return Step::Refuse(TableRefusal::KeyUnusable {
                table: name.clone(),
            });
        }
        TableStatus::Deleting
        | TableStatus::Archiving
        | TableStatus::Archived
        | TableStatus::Other(_) => {
            return Step::Refuse(TableRefusal::Unusable {
                table: name.clone(),
                status: table.status.clone(),
            });
        }
    }
    let Some(settings) = &observed.settings else {
        return Step::Wait(format!("table {name} to show its settings"));
    };
    changes(table, settings, wanted)
        .into_iter()
        .find(|change| !rejected.contains_key(&Setting::of(change)))
        .map_or(Step::Done, Step::Change)
}

/// The changes that are left, in their order.
fn changes(
    table: &Table,
    settings: &ObservedSettings,
    wanted: &TableSettings,
) -> Vec<SettingChange> {
    let missing: Tags = wanted
        .tags
        .iter()
        .filter(|(key, _)| !settings.tags.contains_key(*key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let tags = (!missing.is_empty()).then_some(SettingChange::Tags(missing));
    let stream = wanted.stream.clone().filter(|_| table.stream.is_none());
    let backups = wanted.pitr.filter(|_| !settings.backups.enabled);
    let class = wanted
        .class
        .clone()
        .filter(|class| *class != table.class && table.class == TableClass::Standard);
    let protection = (wanted.protected && !table.protected).then_some(TableChange::Protection);
    let ttl = wanted
        .ttl
        .clone()
        .filter(|_| settings.ttl.status == TimeToLiveStatus::Disabled);
    let of_table = |change: Option<TableChange>| change.map(SettingChange::Table);
    [
        tags,
        of_table(stream.map(TableChange::Stream)),
        backups.map(SettingChange::ContinuousBackups),
        of_table(class.map(TableChange::Class)),
        of_table(protection),
        ttl.map(SettingChange::TimeToLive),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A setting that differs from the wanted one, and stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub setting: Setting,
    /// What the table has.
    pub found: String,
    /// What the tags name.
    pub wanted: String,
}

/// The settings that somebody else made differently from the tags. They stay.
#[must_use]
pub fn conflicts(
    table: &Table,
    settings: &ObservedSettings,
    wanted: &TableSettings,
) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    let mut add = |setting, found: String, wanted: String| {
        if found != wanted {
            conflicts.push(Conflict {
                setting,
                found,
                wanted,
            });
        }
    };
    for (key, value) in &wanted.tags {
        if let Some(found) = settings.tags.get(key) {
            add(
                Setting::Tags,
                format!("{key}={found}"),
                format!("{key}={value}"),
            );
        }
    }
    if let (Some(stream), Some(view)) = (&table.stream, &wanted.stream) {
        add(Setting::Stream, stream.view.to_string(), view.to_string());
    }
    let backups = settings.backups;
    if let (true, Some(found), Some(Some(days))) = (backups.enabled, backups.days, wanted.pitr) {
        add(
            Setting::ContinuousBackups,
            format!("{found} days"),
            format!("{days} days"),
        );
    }
    if let Some(class) = wanted.class.as_ref()
        && table.class != TableClass::Standard
    {
        add(Setting::Class, table.class.to_string(), class.to_string());
    }
    if let Some(attribute) = &wanted.ttl {
        let TimeToLive {
            status,
            attribute: found,
        } = &settings.ttl;
        let found = found.clone().unwrap_or_default();
        match status {
            TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling => {
                add(Setting::TimeToLive, found, attribute.clone());
            }
            TimeToLiveStatus::Disabling | TimeToLiveStatus::Other(_) => {
                add(
                    Setting::TimeToLive,
                    format!("{status} {found}").trim_end().to_owned(),
                    attribute.clone(),
                );
            }
            TimeToLiveStatus::Disabled => {}
        }
    }
    conflicts
}

/// The settings that somebody else made, and that the tags do not name. They stay.
#[must_use]
pub fn additions(
    table: &Table,
    settings: &ObservedSettings,
    wanted: &TableSettings,
) -> Vec<String> {
    let stream = table
        .stream
        .as_ref()
        .filter(|_| wanted.stream.is_none())
        .map(|stream| (Setting::Stream, stream.view.to_string()));
    let backups = (settings.backups.enabled && wanted.pitr.is_none())
        .then_some((Setting::ContinuousBackups, "enabled".to_owned()));
    let class = Some(&table.class)
        .filter(|class| wanted.class.is_none() && **class != TableClass::Standard)
        .map(|class| (Setting::Class, class.to_string()));
    let protection = (table.protected && !wanted.protected)
        .then_some((Setting::Protection, "enabled".to_owned()));
    let ttl = settings
        .ttl
        .attribute
        .as_ref()
        .filter(|_| wanted.ttl.is_none() && settings.ttl.status != TimeToLiveStatus::Disabled)
        .map(|attribute| (Setting::TimeToLive, attribute.clone()));
    [stream, backups, class, protection, ttl]
        .into_iter()
        .flatten()
        .map(|(setting, found)| format!("{} ({found})", setting.name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::arn::Arn;
    use crate::aws::table::{Stream, StreamView};
    use crate::integrate::refusal::Refusal;

    fn table() -> Table {
        Table {
            arn: Arn::parse("arn:aws:dynamodb:us-west-2:111122223333:table/orders").unwrap(),
            id: "id-1".to_owned(),
            status: TableStatus::Active,
            created: chrono::DateTime::UNIX_EPOCH,
            stream: None,
            class: TableClass::Standard,
            protected: false,
        }
    }

    fn settings() -> ObservedSettings {
        ObservedSettings {
            backups: ContinuousBackups {
                enabled: false,
                days: None,
            },
            ttl: TimeToLive {
                status: TimeToLiveStatus::Disabled,
                attribute: None,
            },
            tags: Tags::new(),
        }
    }

    fn observed() -> Observed {
        Observed {
            name: "orders".to_owned(),
            table: table(),
            settings: Some(settings()),
        }
    }

    fn tag(key: &str, value: &str) -> Tags {
        Tags::from([(key.to_owned(), value.to_owned())])
    }

    fn wanted() -> TableSettings {
        TableSettings {
            tagged: true,
            pitr: Some(Some(7)),
            ttl: Some("expires".to_owned()),
            stream: Some(StreamView::NewImage),
            class: Some(TableClass::InfrequentAccess),
            protected: true,
            tags: tag("recovery:workload", "shop"),
            ..TableSettings::default()
        }
    }

    fn stream(view: StreamView) -> Option<Stream> {
        Some(Stream {
            arn: "arn:stream".to_owned(),
            view,
        })
    }

    /// Makes the change in the observed world.
    fn make(observed: &mut Observed, change: SettingChange) {
        let settings = observed.settings.as_mut().unwrap();
        match change {
            SettingChange::Tags(tags) => settings.tags.extend(tags),
            SettingChange::Table(TableChange::Stream(view)) => observed.table.stream = stream(view),
            SettingChange::Table(TableChange::Class(class)) => observed.table.class = class,
            SettingChange::Table(TableChange::Protection) => observed.table.protected = true,
            SettingChange::ContinuousBackups(days) => {
                settings.backups = ContinuousBackups {
                    enabled: true,
                    days,
                };
            }
            SettingChange::TimeToLive(attribute) => {
                settings.ttl = TimeToLive {
                    status: TimeToLiveStatus::Enabling,
                    attribute: Some(attribute),
                };
            }
        }
    }

    #[test]
    fn makes_each_change_once_and_in_order() {
        let (mut observed, wanted) = (observed(), wanted());
        let mut made = Vec::new();
        loop {
            match next_step(&observed, &wanted, &BTreeMap::new()) {
                Step::Change(change) => {
                    made.push(Setting::of(&change));
                    make(&mut observed, change);
                }
                step => {
                    assert_eq!(step, Step::Done);
                    break;
                }
            }
        }
        assert_eq!(
            made,
            [
                Setting::Tags,
                Setting::Stream,
                Setting::ContinuousBackups,
                Setting::Class,
                Setting::Protection,
                Setting::TimeToLive
            ]
        );
        let Observed {
            table, settings, ..
        } = &observed;
        let settings = settings.as_ref().unwrap();
        assert_eq!(conflicts(table, settings, &wanted), []);
        assert_eq!(additions(table, settings, &wanted), [""; 0]);
    }

    #[test]
    fn a_table_without_tags_needs_no_change() {
        let step = next_step(&observed(), &TableSettings::default(), &BTreeMap::new());
        assert_eq!(step, Step::Done);
    }

    #[test]
    fn a_rejected_setting_does_not_prevent_the_others() {
        let rejected = [Setting::Tags, Setting::Stream]
            .map(|setting| (setting, "no".to_owned()))
            .into();
        assert_eq!(
            next_step(&observed(), &wanted(), &rejected),
            Step::Change(SettingChange::ContinuousBackups(Some(7)))
        );
    }

    #[test]
    fn waits_while_the_table_is_not_active() {
        let step = |status: &str, settings: Option<ObservedSettings>| {
            let mut observed = observed();
            observed.table.status = status.into();
            observed.settings = settings;
            next_step(&observed, &wanted(), &BTreeMap::new())
        };
        for status in ["CREATING", "UPDATING"] {
            assert_eq!(
                step(status, Some(settings())),
                Step::Wait(format!("table orders to be ACTIVE (now {status})"))
            );
        }
        // Its settings cannot be read in its first moment.
        assert_eq!(
            step("ACTIVE", None),
            Step::Wait("table orders to show its settings".to_owned())
        );
        for (status, reason) in [
            ("DELETING", "table-unusable"),
            ("ARCHIVED", "table-unusable"),
            ("NEVER_HEARD_OF", "table-unusable"),
            ("INACCESSIBLE_ENCRYPTION_CREDENTIALS", "table-key-unusable"),
        ] {
            let Step::Refuse(refusal) = step(status, Some(settings())) else {
                panic!("{status} is not refused");
            };
            assert_eq!(refusal.reason(), reason, "{status}");
            assert!(!refusal.remedy().is_empty());
        }
    }

    #[test]
    fn settings_of_somebody_else_stay_and_are_listed() {
        let mut observed = observed();
        observed.table.stream = stream(StreamView::KeysOnly);
        observed.table.class = TableClass::InfrequentAccess;
        let settings = observed.settings.as_mut().unwrap();
        settings.backups = ContinuousBackups {
            enabled: true,
            days: Some(35),
        };
        settings.ttl = TimeToLive {
            status: TimeToLiveStatus::Enabled,
            attribute: Some("until".to_owned()),
        };
        settings.tags = tag("recovery:workload", "store");
        let wanted = TableSettings {
            class: Some(TableClass::Standard),
            protected: false,
            ..wanted()
        };
        assert_eq!(next_step(&observed, &wanted, &BTreeMap::new()), Step::Done);
        let found: Vec<_> = conflicts(
            &observed.table,
            observed.settings.as_ref().unwrap(),
            &wanted,
        )
        .into_iter()
        .map(|conflict| (conflict.setting, conflict.found, conflict.wanted))
        .collect();
        let conflict =
            |setting, found: &str, wanted: &str| (setting, found.to_owned(), wanted.to_owned());
        assert_eq!(
            found,
            [
                conflict(
                    Setting::Tags,
                    "recovery:workload=store",
                    "recovery:workload=shop"
                ),
                conflict(Setting::Stream, "KEYS_ONLY", "NEW_IMAGE"),
                conflict(Setting::ContinuousBackups, "35 days", "7 days"),
                conflict(Setting::Class, "STANDARD_INFREQUENT_ACCESS", "STANDARD"),
                conflict(Setting::TimeToLive, "until", "expires"),
            ]
        );
        observed.table.protected = true;
        assert_eq!(
            additions(
                &observed.table,
                observed.settings.as_ref().unwrap(),
                &TableSettings::default()
            ),
            [
                "stream (KEYS_ONLY)",
                "point-in-time recovery (enabled)",
                "table class (STANDARD_INFREQUENT_ACCESS)",
                "deletion protection (enabled)",
                "time to live (until)",
            ]
        );
    }

    #[test]
    fn a_time_to_live_that_is_being_disabled_stays() {
        let mut observed = observed();
        let settings = observed.settings.as_mut().unwrap();
        settings.ttl = TimeToLive {
            status: TimeToLiveStatus::Disabling,
            attribute: Some("expires".to_owned()),
        };
        let wanted = TableSettings {
            ttl: Some("expires".to_owned()),
            ..TableSettings::default()
        };
        assert_eq!(next_step(&observed, &wanted, &BTreeMap::new()), Step::Done);
        let conflicts = conflicts(
            &observed.table,
            observed.settings.as_ref().unwrap(),
            &wanted,
        );
        assert_eq!(conflicts.len(), 1);
        assert_eq!(conflicts[0].found, "DISABLING expires");
    }
}
