//! OpsItems: one for each incident and each job, identified by its key.
//!
//! There is no database: the state of a job or an incident is read from its OpsItem. Limits are those of
//! `CreateOpsItem`:
//! <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateOpsItem.html>.

pub mod run;

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::aws::arn::{Arn, OpsItemId, RestoreJobId};
use crate::error::Error;
use crate::notification::Notification;
use crate::text;

/// The source of all OpsItems of this system. OpsCenter refuses the words aws, amazon and amzn in it.
pub const SOURCE: &str = "rapid-recovery";
/// Operational data: the state of the integration. The value is [`ResourceKind::integrated`](crate::integrate::kind::ResourceKind::integrated),
/// [`ResourceKind::integrating`](crate::integrate::kind::ResourceKind::integrating), `refused`, or `failing` while it is retried.
pub const INTEGRATION: &str = "recovery:integration";
/// Operational data: the item's [`ItemKey`], searchable.
pub const KEY: &str = "recovery:key";
/// Operational data: [`INCIDENT`], [`RESTORE`] or [`RECOVERY`], searchable.
pub const KIND: &str = "recovery:kind";
/// The [`KIND`] of the OpsItems of incidents.
pub const INCIDENT: &str = "incident";
/// The [`KIND`] of the OpsItems of restore jobs.
pub const RESTORE: &str = "restore";
/// The [`KIND`] of the OpsItems of recoveries that have no OpsItem of an incident.
pub const RECOVERY: &str = "recovery";
/// Operational data of an incident: when it began, according to its first signal.
pub const BEGAN: &str = "recovery:began";
/// Operational data: what operators were notified of.
pub(crate) const NOTIFIED: &str = "recovery:notified";
/// Operational data that OpsCenter shows as related resources.
pub const RESOURCES: &str = "/aws/resources";
/// Longest title, in characters.
pub const TITLE_LIMIT: usize = 1024;
/// Longest description, in characters.
pub const DESCRIPTION_LIMIT: usize = 2048;
/// Largest value of operational data, in bytes (20 KB; counted as 20,000 to be on the safe side).
pub const DATA_LIMIT: usize = 20_000;

/// Longest [`ItemKey`], in bytes. It must also fit into the filter of `DescribeOpsItems`.
pub const KEY_LIMIT: usize = 500;

/// Identifies the subject of an OpsItem. Every event and every function about it uses the same key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemKey(String);

impl ItemKey {
    /// The key of `kind` (`restore-job`, `health-event`, …) with `id`. Characters with a meaning in JSON, in
    /// Markdown, or in the parameters of a runbook (Systems Manager resolves `{{ssm:name}}`) are replaced. If
    /// a key was changed or cut, it has a digest of the original at its end, so that it stays unique.
    pub fn new(kind: &str, id: &str) -> ItemKey {
        let whole = format!("{kind}/{id}");
        let meaning = ['"', '\\', '{', '}', '`', '<', '>'];
        let mut key = text::one_line(&whole).replace(meaning, "-");
        if key != whole || key.len() > KEY_LIMIT {
            let digest = digest(&whole);
            let end = (0..KEY_LIMIT - digest.len())
                .rev()
                .find(|&end| key.is_char_boundary(end))
                .unwrap_or(0);
            key.truncate(end);
            key = format!("{key}-{digest}");
        }
        ItemKey(key)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The deduplication string for OpsCenter. OpsCenter ignores case, so the key alone could identify two
    /// incidents, for example those of the alarms `Down` and `down`. The digest distinguishes them.
    pub fn dedup(&self) -> String {
        format!("{}#{}", self.0, digest(&self.0))
    }

    /// A UUID derived from this key and `purpose`: a client token that makes an API call idempotent for an
    /// incident.
    pub fn token(&self, purpose: &str) -> String {
        use sha2::{Digest, Sha256};
        let digest = Sha256::new()
            .chain_update(purpose)
            .chain_update([0])
            .chain_update(&self.0)
            .finalize();
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&digest[..16]);
        // Version 8 and the variant of RFC 9562: a UUID with custom content.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ]
        .join("-")
    }
}

/// The first 16 hexadecimal digits of the text's SHA-256 digest.
fn digest(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(text);
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

impl fmt::Display for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The severity of an OpsItem. OpsCenter shows 1 as critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The workload's Region is down.
    Critical,
    /// Data is being lost, or a recovery is stuck, until someone acts.
    High,
    /// To be checked.
    Medium,
    /// For the record.
    Low,
}

impl Severity {
    /// `"1"` to `"4"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Critical => "1",
            Severity::High => "2",
            Severity::Medium => "3",
            Severity::Low => "4",
        }
    }
}

/// The status of an OpsItem, reduced to what matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Open, in progress, or any other status that is not final.
    Open,
    /// Resolved or closed.
    Resolved,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOpsItem {
    pub key: ItemKey,
    /// One line.
    pub title: String,
    /// Markdown: what happened, why, what was done, what to do.
    pub description: String,
    pub severity: Severity,
    /// A category of OpsCenter: `Availability`, `Recovery`, …
    pub category: &'static str,
    /// Operational data by key, searchable.
    pub data: BTreeMap<&'static str, String>,
}

impl NewOpsItem {
    /// The title within its limit.
    pub fn limited_title(&self) -> String {
        limited_title(&self.title)
    }

    /// The description within its limit.
    pub fn limited_description(&self) -> String {
        limited_description(&self.description)
    }

    /// The value of `/aws/dedup`.
    pub fn dedup(&self) -> String {
        json!({ "dedupString": self.key.dedup() }).to_string()
    }
}

/// ARNs in OpsCenter's format for related resources: as many as fit. `None` if there are none.
fn listed<'a>(arns: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut listed = Vec::new();
    let mut length = 2;
    for arn in arns {
        let entry = json!({ "arn": arn });
        length += entry.to_string().len() + 1;
        if length > DATA_LIMIT {
            break;
        }
        listed.push(entry);
    }
    (!listed.is_empty()).then(|| serde_json::Value::Array(listed).to_string())
}

/// The related resources `known` of an item together with `more`; `None` if `more` adds none.
pub(crate) fn with_resources(known: Option<&str>, more: &[Arn]) -> Option<String> {
    let known: Vec<serde_json::Value> = known
        .and_then(|known| serde_json::from_str(known).ok())
        .unwrap_or_default();
    let mut arns: Vec<&str> = known
        .iter()
        .filter_map(|entry| entry["arn"].as_str())
        .collect();
    let before = arns.len();
    for arn in more {
        if !arns.contains(&arn.as_str()) {
            arns.push(arn.as_str());
        }
    }
    listed(arns.iter().copied()).filter(|_| arns.len() > before)
}

/// An OpsItem in OpsCenter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpsItem {
    pub id: OpsItemId,
    pub status: Status,
    /// When it was created; `None` if this is not known.
    pub created: Option<DateTime<Utc>>,
    /// Its operational data.
    pub data: BTreeMap<String, String>,
}

/// The answer to creating an OpsItem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    Created(OpsItemId),
    /// OpsCenter refused a duplicate. This is the open one.
    Existing(OpsItemId),
}

/// A change to an OpsItem. A field that is absent stays unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpsItemChange {
    pub title: Option<String>,
    /// Markdown.
    pub description: Option<String>,
    pub severity: Option<Severity>,
    pub status: Option<Status>,
    /// Related OpsItems. They replace those listed so far.
    pub related: Option<Vec<OpsItemId>>,
    /// Operational data to add or replace.
    pub data: BTreeMap<&'static str, String>,
}

impl OpsItemChange {
    /// The new title within its limit.
    pub fn limited_title(&self) -> Option<String> {
        self.title.as_deref().map(limited_title)
    }

    /// The new description within its limit.
    pub fn limited_description(&self) -> Option<String> {
        self.description.as_deref().map(limited_description)
    }
}

fn limited_title(title: &str) -> String {
    text::within(&text::one_line(title), TITLE_LIMIT)
}

fn limited_description(description: &str) -> String {
    text::markdown_within(&text::lines(description), DESCRIPTION_LIMIT)
}

/// The item, or `None` if OpsCenter's quota is used up. The caller continues without the item. An alarm
/// counts the log line, which contains the error code.
///
/// # Errors
/// All others.
pub(crate) fn unless_at_quota<T>(item: Result<T, Error>) -> Result<Option<T>, Error> {
    match item {
        Err(error) if error.is_ops_item_quota() => {
            tracing::error!(%error, "the OpsItem was not created");
            Ok(None)
        }
        item => item.map(Some),
    }
}

/// Replaces the id of an OpsItem in a message, if it could not be created.
pub(crate) const NOT_CREATED: &str =
    "not created: the account's quota of OpsItems in this Region is used up";

/// The id of an OpsItem in a message, or why there is none.
pub(crate) fn item_named(item: &Result<Option<OpsItemId>, Error>) -> &str {
    match item {
        Ok(Some(id)) => id.as_str(),
        Ok(None) => NOT_CREATED,
        Err(_) => "could not be created or updated",
    }
}

impl NewOpsItem {
    /// The notification that replaces this item if OpsCenter's quota is used up.
    pub(crate) fn notification(&self) -> Notification {
        Notification {
            subject: self.title.clone(),
            pointer: "No OpsItem: quota used up. Read the email.".to_owned(),
            message: format!(
                "{title}.\n\n{description}\n\nOpsItem: {NOT_CREATED}\n",
                title = text::one_line(&self.title),
                description = text::lines(&self.description),
            ),
            attributes: vec![
                ("kind", "ops-item-not-created".to_owned()),
                ("severity", self.severity.as_str().to_owned()),
            ],
        }
    }
}

impl NewOpsItem {
    /// This item after it was created as `id`.
    pub fn as_created(&self, id: OpsItemId) -> OpsItem {
        let own = [(KEY.to_owned(), self.key.as_str().to_owned())];
        let data = self
            .data
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()));
        OpsItem {
            id,
            status: Status::Open,
            created: None,
            data: own.into_iter().chain(data).collect(),
        }
    }
}

/// The key of the OpsItem of a restore job.
pub fn restore_key(id: &RestoreJobId) -> ItemKey {
    ItemKey::new("restore-job", id.as_str())
}

/// Whether the item has this value under this key of its operational data.
pub(crate) fn says(item: &OpsItem, key: &str, value: &str) -> bool {
    item.data.get(key).is_some_and(|said| said == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> NewOpsItem {
        NewOpsItem {
            key: ItemKey::new("restore-job", "J"),
            title: "line\nbreak".to_owned() + &"x".repeat(2000),
            description: "ä".repeat(3000),
            severity: Severity::Low,
            category: "Recovery",
            data: BTreeMap::new(),
        }
    }

    #[test]
    fn truncates_fields_to_their_limits_and_marks_it() {
        let item = item();
        assert_eq!(item.limited_title().len(), TITLE_LIMIT);
        assert!(!item.limited_title().contains('\n'));
        assert!(item.limited_description().len() <= DESCRIPTION_LIMIT);
        assert!(item.limited_description().ends_with("(cut)"));
    }

    #[test]
    fn adds_resources_once_up_to_the_limit() {
        let arn = |n: usize| {
            Arn::parse(&format!(
                "arn:aws:ec2:us-west-2:111122223333:volume/vol-{n}"
            ))
            .unwrap()
        };
        assert_eq!(with_resources(None, &[]), None);
        let one = with_resources(None, &[arn(1)]).unwrap();
        assert_eq!(
            one,
            r#"[{"arn":"arn:aws:ec2:us-west-2:111122223333:volume/vol-1"}]"#
        );
        assert_eq!(with_resources(Some(&one), &[arn(1)]), None);
        let two = with_resources(Some(&one), &[arn(2), arn(1)]).unwrap();
        assert!(two.contains("vol-1") && two.contains("vol-2"), "{two}");
        // An invalid value from a user is replaced.
        assert_eq!(with_resources(Some("by hand"), &[arn(1)]), Some(one));
        let many: Vec<Arn> = (0..1000).map(arn).collect();
        let many = with_resources(None, &many).unwrap();
        assert!(many.len() <= DATA_LIMIT, "{}", many.len());
        let listed: Vec<serde_json::Value> = serde_json::from_str(&many).unwrap();
        assert!(listed.len() > 200);
    }

    #[test]
    fn source_and_key_avoid_reserved_prefixes() {
        for word in ["aws", "amazon", "amzn"] {
            assert!(!SOURCE.contains(word));
        }
        for prefix in ["aws", "amazon", "amzn", "ssm", "/"] {
            assert!(!KEY.starts_with(prefix));
        }
    }

    #[test]
    fn truncated_keys_stay_unique() {
        let short = ItemKey::new("alarm", &"x".repeat(KEY_LIMIT - 6));
        assert_eq!(short.as_str().len(), KEY_LIMIT);
        assert!(short.as_str().ends_with('x'));
        let long = "ä".repeat(400);
        let keys = [
            format!("{long}a"),
            format!("{long}b"),
            "x".repeat(KEY_LIMIT - 5),
        ]
        .map(|id| ItemKey::new("alarm", &id));
        for key in &keys {
            assert!(key.as_str().len() <= KEY_LIMIT, "{key}");
            let (start, digest) = key.as_str().rsplit_once('-').unwrap();
            assert!(start.starts_with("alarm/"));
            assert_eq!(digest.len(), 16);
            assert!(digest.chars().all(|c| c.is_ascii_hexdigit()));
        }
        assert_ne!(keys[0], keys[1]);
        assert_eq!(keys[0], ItemKey::new("alarm", &format!("{long}a")));
    }

    #[test]
    fn keys_that_differ_in_case_have_different_deduplication_strings() {
        let dedup = |id: &str| ItemKey::new("alarm", id).dedup();
        assert_eq!(dedup("down"), dedup("down"));
        assert_ne!(dedup("Down").to_lowercase(), dedup("down").to_lowercase());
        assert!(
            dedup("down").starts_with("alarm/down#"),
            "{}",
            dedup("down")
        );
    }

    #[test]
    fn keys_contain_no_special_characters() {
        let keys = [
            "a{{ssm:x}}",
            "a--ssm:x--",
            "a\"\\`<",
            "a\u{200b}",
            "a\u{202e}",
        ]
        .map(|id| ItemKey::new("alarm", id));
        for (place, key) in keys.iter().enumerate() {
            assert!(
                !key.as_str()
                    .contains(['{', '}', '"', '\\', '`', '<', '\u{200b}', '\u{202e}'])
            );
            assert!(!keys[..place].contains(key), "{key} is that of another");
        }
        assert!(
            keys[0].as_str().starts_with("alarm/a--ssm:x---"),
            "{}",
            keys[0]
        );
        assert_eq!(keys[1].as_str(), "alarm/a--ssm:x--");
    }

    #[test]
    fn token_is_a_uuid_derived_from_key_and_purpose() {
        let key = ItemKey::new("health-event", "arn:1");
        let token = key.token("recover");
        assert_eq!(token, key.token("recover"));
        assert_ne!(token, key.token("other"));
        assert_ne!(
            token,
            ItemKey::new("health-event", "arn:2").token("recover")
        );
        let parts: Vec<usize> = token.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(token.chars().all(|c| c == '-' || c.is_ascii_hexdigit()));
        assert_eq!(token.as_bytes()[14], b'8');
    }
}
