//! What the tags of a recovery point want for its database.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::aws::arn::{DbClusterId, DbInstanceId};
use crate::aws::database::{Capacity, DatabaseId, DbChange, Scaling};
use crate::integrate::database::refusal::DatabaseRefusal;
use crate::integrate::publish::Publication;
use crate::tags::{
    DATABASE, DRILL, INSTANCES, PUBLISH, Tags, UnusableTag, WORKLOAD, value, workload,
};

/// The most instances of a cluster: a writer and 15 readers
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/CHAP_Limits.html>).
const MOST_INSTANCES: usize = 16;
/// The class of serverless instances.
const SERVERLESS: &str = "db.serverless";
/// The most capacity of a serverless instance, in halves of a unit
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html>).
const MOST_HALVES: u32 = 512;
/// The longest identifier of an instance
/// (<https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html>).
const LONGEST_IDENTIFIER: usize = 63;

/// What the tags want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The instances of a cluster, in their order.
    pub instances: Vec<WantedInstance>,
    /// The capacity of serverless instances.
    pub scaling: Option<Scaling>,
    /// Settings of the database itself.
    pub changes: Vec<DbChange>,
    /// Settings of each instance of a cluster.
    pub changes_of_instances: Vec<DbChange>,
    /// Tags of new instances.
    pub tags: Vec<(&'static str, String)>,
    /// Where the addresses are published.
    pub(crate) publication: Option<Publication>,
    /// Optional tags whose values cannot be used.
    pub unusable_tags: Vec<UnusableTag>,
    /// Whether the recovery point has the tag [`DATABASE`].
    pub names_settings: bool,
}

/// An instance of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedInstance {
    pub id: DbInstanceId,
    pub class: String,
    pub promotion_tier: u8,
}

/// Whether the tags concern the integration of a database at all.
pub fn is_tagged(tags: &Tags) -> bool {
    [WORKLOAD, INSTANCES, DATABASE, PUBLISH]
        .iter()
        .any(|key| value(tags, key).is_some())
}

impl Wanted {
    /// What the tags want for the database. `allowed` is the path below which this deployment publishes.
    ///
    /// # Errors
    /// A [`DatabaseRefusal`] if the instances of a cluster are missing or cannot be read: a cluster without
    /// instances serves nobody.
    pub fn of(
        tags: &Tags,
        id: &DatabaseId,
        allowed: &str,
        drill: Option<&str>,
    ) -> Result<Wanted, DatabaseRefusal> {
        let (instances, scaling) = match id {
            DatabaseId::Instance(_) => (Vec::new(), None),
            DatabaseId::Cluster(cluster) => {
                let wanted = InstanceGroups::of(tags)?;
                (wanted.named(cluster), wanted.scaling)
            }
        };
        let mut unusable_tags = Vec::new();
        let publication = Publication::of(tags, allowed, drill).unwrap_or_else(|unusable| {
            unusable_tags.push(unusable);
            None
        });
        let mut changes = settings(tags, &mut unusable_tags);
        if drill.is_some() {
            // The clean-up of the drill could not delete it.
            changes.retain(|change| *change != DbChange::Protect);
        }
        let mut changes_of_instances = Vec::new();
        if matches!(id, DatabaseId::Cluster(_)) {
            let of_instances = |change: &DbChange| *change == DbChange::PerformanceInsights;
            changes_of_instances = changes
                .iter()
                .filter(|it| of_instances(it))
                .cloned()
                .collect();
            changes.retain(|change| !of_instances(change));
        }
        let tags_of_instances = match drill {
            Some(drill) => Some((DRILL, drill.to_owned())),
            None => workload(tags).map(|workload| (WORKLOAD, workload.to_owned())),
        };
        Ok(Wanted {
            instances,
            scaling,
            changes,
            changes_of_instances,
            tags: tags_of_instances.into_iter().collect(),
            publication,
            unusable_tags,
            names_settings: value(tags, DATABASE).is_some(),
        })
    }
}

/// The instances that the tag [`INSTANCES`] wants for a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceGroups {
    /// Classes, and how many instances each has.
    groups: Vec<(String, usize)>,
    /// The capacity of serverless instances.
    scaling: Option<Scaling>,
}

impl InstanceGroups {
    /// The instances that the tags want.
    ///
    /// # Errors
    /// A [`DatabaseRefusal`] if the tag is missing or cannot be read.
    pub fn of(tags: &Tags) -> Result<InstanceGroups, DatabaseRefusal> {
        let Some(text) = value(tags, INSTANCES) else {
            return Err(DatabaseRefusal::InstancesMissing);
        };
        InstanceGroups::parse(text).ok_or_else(|| {
            DatabaseRefusal::InstancesInvalid(UnusableTag::new(
                INSTANCES,
                text,
                "instance classes with their number, such as db.r6g.large x2, or db.serverless with its least and most capacity, such as db.serverless 0.5-16; several groups separated by spaces, and at most 16 instances",
            ))
        })
    }

    /// The instances that the value of the tag describes; `None` if it cannot be read.
    pub(crate) fn parse(text: &str) -> Option<InstanceGroups> {
        let mut groups: Vec<(String, usize)> = Vec::new();
        let mut scaling: Option<Scaling> = None;
        let mut counted = false;
        for word in text.split_whitespace().filter(|word| *word != "+") {
            if is_class(word) {
                groups.push((word.to_owned(), 1));
                counted = false;
                continue;
            }
            let (class, count) = groups.last_mut()?;
            if let Some(number) = word.strip_prefix('x') {
                if std::mem::replace(&mut counted, true) {
                    return None;
                }
                *count = number
                    .parse()
                    .ok()
                    .filter(|n| (1..=MOST_INSTANCES).contains(n))?;
                continue;
            }
            if class != SERVERLESS || scaling.is_some() {
                return None;
            }
            scaling = Some(parse_scaling(word)?);
        }
        let serverless = groups.iter().any(|(class, _)| class == SERVERLESS);
        let total: usize = groups.iter().map(|(_, count)| count).sum();
        ((1..=MOST_INSTANCES).contains(&total) && serverless == scaling.is_some())
            .then_some(InstanceGroups { groups, scaling })
    }

    /// The identifiers of the instances.
    pub(crate) fn ids(&self, cluster: &DbClusterId) -> Vec<DbInstanceId> {
        let named = self.named(cluster).into_iter();
        named.map(|instance| instance.id).collect()
    }

    /// The instances with their identifiers. The instances of the first group take over first.
    fn named(&self, cluster: &DbClusterId) -> Vec<WantedInstance> {
        self.groups
            .iter()
            .zip(0_u8..)
            .flat_map(|((class, count), tier)| std::iter::repeat_n((class, tier), *count))
            .enumerate()
            .map(|(index, (class, promotion_tier))| WantedInstance {
                id: instance_id(cluster, index + 1),
                class: class.clone(),
                promotion_tier,
            })
            .collect()
    }
}

fn is_class(word: &str) -> bool {
    word.strip_prefix("db.").is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .split('.')
                .all(|part| !part.is_empty() && part.chars().all(is_class_char))
    })
}

fn is_class_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

/// `0.5-16`.
fn parse_scaling(word: &str) -> Option<Scaling> {
    let (least, most) = word.split_once('-')?;
    let capacity = |text: &str| {
        let (whole, half) = match text.split_once('.') {
            None => (text, 0),
            Some((whole, "0")) => (whole, 0),
            Some((whole, "5")) => (whole, 1),
            Some(_) => return None,
        };
        let is_number = !whole.is_empty() && whole.chars().all(|c| c.is_ascii_digit());
        let whole: u32 = whole.parse().ok().filter(|_| is_number)?;
        let halves = whole.checked_mul(2)?.checked_add(half)?;
        Some(Capacity { halves })
    };
    let (least, most) = (capacity(least)?, capacity(most)?);
    (least <= most && (2..=MOST_HALVES).contains(&most.halves)).then_some(Scaling { least, most })
}

/// The identifier of an instance of the cluster: `<cluster>-1`. A long name of a cluster is cut, and
/// completed with a part of its digest, so that two clusters do not claim the same identifier.
pub fn instance_id(cluster: &DbClusterId, number: usize) -> DbInstanceId {
    let end = format!("-{number}");
    let name = cluster.as_str();
    if name.len() + end.len() <= LONGEST_IDENTIFIER {
        return DbInstanceId::new(format!("{name}{end}"));
    }
    let digest = Sha256::digest(name);
    let mark = format!("-{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2]);
    let room = LONGEST_IDENTIFIER - end.len() - mark.len();
    let kept: String = name.chars().take(room).collect();
    DbInstanceId::new(format!("{}{mark}{end}", kept.trim_end_matches('-')))
}

/// The settings in the tag [`DATABASE`]. A word that cannot be used is recorded, and prevents no other.
fn settings(tags: &Tags, unusable: &mut Vec<UnusableTag>) -> Vec<DbChange> {
    let mut changes: BTreeSet<DbChange> = BTreeSet::new();
    for word in value(tags, DATABASE)
        .into_iter()
        .flat_map(str::split_whitespace)
    {
        match setting(word) {
            Some(change) => _ = changes.insert(change),
            None => unusable.push(UnusableTag::new(
                DATABASE,
                word,
                "one of protected, retention=1 to 35, iam-auth, logs= with types joined by +, performance-insights",
            )),
        }
    }
    changes.into_iter().collect()
}

fn setting(word: &str) -> Option<DbChange> {
    match word.split_once('=') {
        None => match word {
            "protected" => Some(DbChange::Protect),
            "iam-auth" => Some(DbChange::IamAuthentication),
            "performance-insights" => Some(DbChange::PerformanceInsights),
            _ => None,
        },
        Some(("retention", days)) => days
            .parse()
            .ok()
            .filter(|days| (1..=35).contains(days))
            .map(DbChange::Retention),
        Some(("logs", types)) => {
            let types: BTreeSet<String> = types.split('+').map(str::to_owned).collect();
            types
                .iter()
                .all(|name| !name.is_empty() && name.chars().all(is_log_char))
                .then_some(DbChange::ExportLogs(types))
        }
        Some(_) => None,
    }
}

/// Types of logs are named like `postgresql`, `iam-db-auth-error`, `audit` or `notify.log`.
fn is_log_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrate::refusal::Refusal;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn cluster() -> DatabaseId {
        DatabaseId::Cluster(DbClusterId::new("shop"))
    }

    fn wanted(pairs: &[(&str, &str)], drill: Option<&str>) -> Result<Wanted, DatabaseRefusal> {
        Wanted::of(&tags(pairs), &cluster(), "/recovery/", drill)
    }

    #[test]
    fn reads_the_instances_of_a_cluster() {
        let read = |text: &str| -> Option<Vec<String>> {
            let wanted = wanted(&[(INSTANCES, text)], None).ok()?;
            let scaling = wanted.scaling.map(|scaling| scaling.to_string());
            Some(
                wanted
                    .instances
                    .into_iter()
                    .map(|it| format!("{} {} {}", it.id, it.class, it.promotion_tier))
                    .chain(scaling)
                    .collect(),
            )
        };
        let some = |list: &[&str]| Some(list.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(read("db.r6g.large"), some(&["shop-1 db.r6g.large 0"]));
        assert_eq!(
            read(" db.r6g.large x2 "),
            some(&["shop-1 db.r6g.large 0", "shop-2 db.r6g.large 0"])
        );
        assert_eq!(
            read("db.serverless 0.5-16"),
            some(&["shop-1 db.serverless 0", "0.5-16"])
        );
        assert_eq!(
            read("db.r6g.large + db.serverless 0-256 x2"),
            some(&[
                "shop-1 db.r6g.large 0",
                "shop-2 db.serverless 1",
                "shop-3 db.serverless 1",
                "0-256"
            ])
        );
        for invalid in [
            "",
            "db.",
            "db..large",
            "r6g.large",
            "db.r6g.large 2",
            "db.r6g.large x0",
            "db.r6g.large x17",
            "db.r6g.large x9 db.t4g.medium x9",
            "db.r6g.large x2 x3",
            "x2 db.r6g.large",
            "db.r6g.large 0.5-16",
            "db.serverless",
            "db.serverless 16-0.5",
            "db.serverless 0-0.5",
            "db.serverless 0.5-257",
            "db.serverless 0.3-16",
            "db.serverless 0.5-16 db.serverless 0.5-8",
            "db.serverless -1-16",
            "db.serverless 0.5-99999999999",
            "db.R6G.large",
        ] {
            assert_eq!(read(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn refuses_a_cluster_whose_instances_are_unknown() {
        assert_eq!(
            wanted(&[(WORKLOAD, "shop")], None).unwrap_err().reason(),
            "tag-missing"
        );
        let refusal = wanted(&[(INSTANCES, "large")], None).unwrap_err();
        assert_eq!(refusal.reason(), "tag-invalid");
        assert!(refusal.to_string().contains(INSTANCES), "{refusal}");
        // An instance of RDS needs none.
        let id = DatabaseId::Instance(DbInstanceId::new("shop"));
        let wanted = Wanted::of(&Tags::new(), &id, "/recovery/", None).unwrap();
        assert_eq!(wanted.instances, []);
    }

    #[test]
    fn identifiers_are_valid_and_differ_between_clusters() {
        let id = |name: &str, number| instance_id(&DbClusterId::new(name), number).to_string();
        assert_eq!(id("shop", 1), "shop-1");
        let longest = "a".repeat(61);
        assert_eq!(id(&longest, 1), format!("{longest}-1"));
        let mut all = BTreeSet::new();
        for name in [
            "b".repeat(62),
            "b".repeat(63),
            format!("{}-{}", "b".repeat(52), "c".repeat(10)),
        ] {
            for number in [1, 16] {
                let id = id(&name, number);
                assert!(id.len() <= LONGEST_IDENTIFIER, "{id}");
                assert!(!id.contains("--"), "{id}");
                assert!(id.ends_with(&format!("-{number}")));
                assert!(all.insert(id));
            }
        }
    }

    #[test]
    fn reads_settings_and_records_unusable_words() {
        let read = |text: &str, drill| {
            let wanted = wanted(&[(INSTANCES, "db.r6g.large"), (DATABASE, text)], drill).unwrap();
            let words = |changes: &[DbChange]| -> Vec<String> {
                changes.iter().map(ToString::to_string).collect()
            };
            (
                words(&wanted.changes),
                words(&wanted.changes_of_instances),
                wanted.unusable_tags.len(),
            )
        };
        let owned = |words: &[&str]| words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            read(
                "performance-insights logs=postgresql+audit retention=7 protected iam-auth",
                None
            ),
            (
                owned(&[
                    "protected",
                    "retention=7",
                    "iam-auth",
                    "logs=audit+postgresql"
                ]),
                owned(&["performance-insights"]),
                0
            )
        );
        // A drill is deleted afterwards.
        assert_eq!(
            read("protected retention=7", Some("d-1")),
            (owned(&["retention=7"]), vec![], 0)
        );
        for word in [
            "Protected",
            "retention",
            "retention=0",
            "retention=36",
            "retention=x",
            "logs=",
            "logs=a++b",
            "logs=a,b",
            "size=3",
        ] {
            assert_eq!(
                read(&format!("protected {word}"), None),
                (owned(&["protected"]), vec![], 1),
                "{word}"
            );
        }
    }

    #[test]
    fn new_instances_have_the_tag_of_their_drill_or_workload() {
        let of = |drill| {
            let pairs = [(INSTANCES, "db.r6g.large"), (WORKLOAD, "shop")];
            wanted(&pairs, drill).unwrap().tags
        };
        assert_eq!(of(None), [(WORKLOAD, "shop".to_owned())]);
        assert_eq!(of(Some("d-1")), [(DRILL, "d-1".to_owned())]);
    }
}
