//! The settings that a restored table gets: according to its tags.

use std::collections::BTreeSet;

use crate::aws::table::{StreamView, TableClass};
use crate::tags::{DRILL, RESTORE_TEST, TABLE, Tags, value};

/// The words of the tag [`TABLE`], for messages.
pub(crate) const WORDS: &str = "`pitr`, `pitr=<1 to 35 days>`, `ttl=<attribute>`, `stream=<view type>`, `class=<table class>`, `protected` and `nothing-else`";

/// The settings that the tags of a recovery point name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableSettings {
    /// Whether the recovery point has the tag [`TABLE`].
    pub tagged: bool,
    /// Continuous backups, for this many days. `Some(None)`: for DynamoDB's default of 35 days.
    pub pitr: Option<Option<u8>>,
    /// The attribute with the time at which an item expires.
    pub ttl: Option<String>,
    pub stream: Option<StreamView>,
    pub class: Option<TableClass>,
    /// Protection against deletion. A drill's table never gets it, because it is deleted after the drill.
    pub protected: bool,
    /// Whether the table has no other settings that a restore loses.
    pub nothing_else: bool,
    /// The tags of the table.
    pub tags: Tags,
    /// The words of the tag that cannot be used.
    pub unusable: Vec<String>,
}

impl TableSettings {
    /// According to the tags of the recovery point.
    ///
    /// AWS Backup has copied all tags of the protected table to the recovery point, but cannot copy them to the restored
    /// table: a restore job that asks for it fails. So the table gets them here, as a volume gets them from AWS
    /// Backup: permissions, costs and the next backup plan may depend on them. In a drill, it gets none, so that
    /// nothing takes it for the workload's.
    #[must_use]
    pub fn of(tags: &Tags, is_drill: bool) -> TableSettings {
        let mut settings = TableSettings::default();
        let words = value(tags, TABLE).unwrap_or_default();
        settings.tagged = !words.is_empty();
        let mut kinds = BTreeSet::new();
        for word in words.split_whitespace() {
            let (kind, setting) = match word.split_once('=') {
                Some((kind, setting)) => (kind, Some(setting)),
                None => (word, None),
            };
            // Of two words of one kind, nobody knows which one is meant.
            if !kinds.insert(kind) || !settings.add(kind, setting) {
                settings.unusable.push(word.to_owned());
            }
        }
        if is_drill {
            settings.protected = false;
        } else {
            settings.tags = tags
                .iter()
                .filter(|(key, _)| is_copied(key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
        }
        settings
    }

    /// Adds the setting of a word. False if it cannot be used.
    fn add(&mut self, kind: &str, setting: Option<&str>) -> bool {
        match (kind, setting) {
            ("pitr", None) => self.pitr = Some(None),
            ("pitr", Some(days)) => match days.parse() {
                Ok(days @ 1..=35) => self.pitr = Some(Some(days)),
                _ => return false,
            },
            ("ttl", Some(attribute)) if (1..=255).contains(&attribute.len()) => {
                self.ttl = Some(attribute.to_owned());
            }
            ("stream", Some(view)) => match StreamView::from(view) {
                StreamView::Other(_) => return false,
                view => self.stream = Some(view),
            },
            ("class", Some(class)) => match TableClass::from(class) {
                TableClass::Other(_) => return false,
                class => self.class = Some(class),
            },
            ("protected", None) => self.protected = true,
            ("nothing-else", None) => self.nothing_else = true,
            _ => return false,
        }
        true
    }
}

/// Whether the table gets this tag of its recovery point. The `aws:` tags belong to AWS. The tag of a drill would let
/// its clean-up delete the table.
fn is_copied(key: &str) -> bool {
    !key.to_ascii_lowercase().starts_with("aws:") && key != DRILL && key != RESTORE_TEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn settings(words: &str, is_drill: bool) -> TableSettings {
        TableSettings {
            tags: Tags::new(),
            ..TableSettings::of(&tags(&[(TABLE, words)]), is_drill)
        }
    }

    #[test]
    fn reads_every_word() {
        assert_eq!(
            settings(
                " pitr ttl=expires  stream=NEW_AND_OLD_IMAGES class=STANDARD_INFREQUENT_ACCESS protected nothing-else",
                false
            ),
            TableSettings {
                tagged: true,
                pitr: Some(None),
                ttl: Some("expires".to_owned()),
                stream: Some(StreamView::NewAndOldImages),
                class: Some(TableClass::InfrequentAccess),
                protected: true,
                nothing_else: true,
                ..TableSettings::default()
            }
        );
        assert_eq!(settings("pitr=7", false).pitr, Some(Some(7)));
        assert_eq!(settings(" ", false), TableSettings::default());
        assert_eq!(
            TableSettings::of(&Tags::new(), false),
            TableSettings::default()
        );
        // The name of an attribute may contain an equals sign.
        assert_eq!(settings("ttl=a=b", false).ttl, Some("a=b".to_owned()));
    }

    #[test]
    fn keeps_the_usable_words() {
        for unusable in [
            "pitr=0",
            "pitr=36",
            "pitr=",
            "pitr=x",
            "ttl",
            "ttl=",
            "stream",
            "stream=new_image",
            "class=GLACIER",
            "protected=true",
            "Protected",
            "nothing-else=1",
            "indexes",
        ] {
            let read = settings(&format!("{unusable} pitr=3 nothing-else"), false);
            assert_eq!(read.unusable.first().map(String::as_str), Some(unusable));
        }
        // Which of the two is meant?
        let twice = settings("ttl=a ttl=b protected", false);
        assert_eq!(twice.unusable, ["ttl=b"]);
        assert!(twice.protected);
    }

    #[test]
    fn drills_get_neither_protection_nor_tags() {
        let tagged = tags(&[
            (TABLE, "pitr protected"),
            ("recovery:workload", "shop"),
            ("team", "sales"),
            ("aws:cloudformation:stack-name", "shop"),
            ("AWS:x", "y"),
            (DRILL, "d-1"),
            (RESTORE_TEST, "1"),
        ]);
        let drill = TableSettings::of(&tagged, true);
        assert!(!drill.protected);
        assert_eq!(drill.pitr, Some(None));
        assert_eq!(drill.tags, Tags::new());
        let recovery = TableSettings::of(&tagged, false);
        assert!(recovery.protected);
        assert_eq!(
            recovery.tags,
            tags(&[
                (TABLE, "pitr protected"),
                ("recovery:workload", "shop"),
                ("team", "sales"),
            ])
        );
    }
}
