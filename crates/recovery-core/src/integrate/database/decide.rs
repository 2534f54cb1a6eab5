//! Decides the next step of the integration of a database from its observed state.

use crate::aws::arn::{DbClusterId, DbInstanceId};
use crate::aws::database::{
    DatabaseId, DbChange, DbCluster, DbInstance, DbSettings, DbStatus, NewDbInstance, Scaling,
};
use crate::integrate::database::refusal::DatabaseRefusal;
use crate::integrate::database::wanted::{Wanted, WantedInstance};

/// The restored database, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// An instance of RDS.
    Instance(DbInstance),
    /// A cluster with all its instances.
    Cluster(DbCluster, Vec<DbInstance>),
}

impl Observed {
    /// Whether a restore testing plan created it.
    pub(super) fn is_restore_test(&self) -> bool {
        match self {
            Observed::Instance(instance) => instance.restore_test,
            Observed::Cluster(cluster, _) => cluster.restore_test,
        }
    }

    /// Host and port of the database.
    pub(super) fn endpoint(&self) -> Option<&(String, u16)> {
        match self {
            Observed::Instance(instance) => instance.endpoint.as_ref(),
            Observed::Cluster(cluster, _) => cluster.endpoint.as_ref(),
        }
    }
}

/// What this run has done already. Observations may be older than that.
#[derive(Debug, Default)]
pub struct Progress {
    /// Whether the addresses are published.
    pub published: bool,
    /// Whether the capacity of serverless instances was set.
    pub scaled: bool,
    /// The instances that were created.
    pub created: Vec<DbInstanceId>,
    /// The changes that RDS accepted.
    pub changed: Vec<(DatabaseId, DbChange)>,
    /// The changes that RDS did not accept, with its words.
    pub rejected: Vec<(DatabaseId, DbChange, String)>,
}

/// The next step of an integration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// None: the database is integrated.
    Done,
    /// Set the capacity of the serverless instances of the cluster, before the first one is created.
    Scale(DbClusterId, Scaling),
    /// Create an instance of the cluster.
    Create(NewDbInstance),
    /// Publish the addresses: an instance can be reached.
    Publish,
    /// Apply a setting that the restore lost.
    Change(DatabaseId, DbChange),
    /// Check again.
    Wait {
        /// What is awaited.
        what: String,
        /// Whether it takes seconds, and not minutes.
        soon: bool,
    },
    /// Stop: a rule forbids the integration.
    Refuse(DatabaseRefusal),
}

/// Decides the next step.
pub fn next_step(seen: &Observed, wanted: &Wanted, progress: &Progress) -> Step {
    match seen {
        Observed::Instance(instance) => step_of_instance(instance, wanted, progress),
        Observed::Cluster(cluster, instances) => {
            step_of_cluster(cluster, instances, wanted, progress)
        }
    }
}

fn step_of_instance(instance: &DbInstance, wanted: &Wanted, progress: &Progress) -> Step {
    let id = DatabaseId::Instance(instance.id.clone());
    if instance.status.is_dead() {
        return unusable(id, &instance.status);
    }
    if !instance.status.is_reachable() || instance.endpoint.is_none() {
        return wait(&id, &instance.status, false);
    }
    if !progress.published {
        return Step::Publish;
    }
    let settings = (&instance.status, &instance.settings);
    setting_step(&id, settings, &wanted.changes, progress).unwrap_or(Step::Done)
}

fn step_of_cluster(
    cluster: &DbCluster,
    instances: &[DbInstance],
    wanted: &Wanted,
    progress: &Progress,
) -> Step {
    let id = DatabaseId::Cluster(cluster.id.clone());
    if !has_instances_of_its_own(&cluster.engine) {
        return Step::Refuse(DatabaseRefusal::EngineUnsupported {
            id: cluster.id.clone(),
            engine: cluster.engine.clone(),
        });
    }
    if cluster.status.is_dead() {
        return unusable(id, &cluster.status);
    }
    if !cluster.status.is_reachable() {
        return wait(&id, &cluster.status, false);
    }
    // A capacity that somebody else has set stays.
    if let Some(scaling) = wanted.scaling.filter(|_| cluster.scaling.is_none()) {
        return if progress.scaled || !cluster.status.may_accept_changes() {
            wait(&id, &cluster.status, true)
        } else {
            Step::Scale(cluster.id.clone(), scaling)
        };
    }
    let find = |wanted: &WantedInstance| instances.iter().find(|it| it.id == wanted.id);
    let is_missing =
        |wanted: &&WantedInstance| find(wanted).is_none() && !progress.created.contains(&wanted.id);
    if let Some(missing) = wanted.instances.iter().find(is_missing) {
        return if cluster.status.may_accept_changes() {
            Step::Create(new_instance(cluster, missing, wanted))
        } else {
            wait(&id, &cluster.status, true)
        };
    }
    let ours: Vec<&DbInstance> = wanted.instances.iter().filter_map(find).collect();
    let can_be_reached = ours.iter().any(|instance| instance.status.is_reachable());
    if can_be_reached && cluster.endpoint.is_some() && !progress.published {
        return Step::Publish;
    }
    // Meanwhile the instances are created.
    let settings = (&cluster.status, &cluster.settings);
    let of_cluster = setting_step(&id, settings, &wanted.changes, progress);
    if let Some(step @ Step::Change(..)) = of_cluster {
        return step;
    }
    if let Some(dead) = ours.iter().find(|instance| instance.status.is_dead()) {
        return unusable(DatabaseId::Instance(dead.id.clone()), &dead.status);
    }
    let awaited = |instance: &&&DbInstance| !instance.status.is_reachable();
    if let Some(instance) = ours.iter().find(awaited) {
        let instance_id = DatabaseId::Instance(instance.id.clone());
        return wait(&instance_id, &instance.status, false);
    }
    if let Some(hidden) = wanted.instances.iter().find(|it| find(it).is_none()) {
        return Step::Wait {
            what: format!("{} to show", hidden.id),
            soon: true,
        };
    }
    let of_instances = ours.iter().find_map(|instance| {
        let id = DatabaseId::Instance(instance.id.clone());
        let settings = (&instance.status, &instance.settings);
        setting_step(&id, settings, &wanted.changes_of_instances, progress)
    });
    of_instances.or(of_cluster).unwrap_or(Step::Done)
}

/// Whether clusters of this engine consist of instances that are created one by one. A Multi-AZ DB cluster
/// of RDS has instances that RDS manages.
fn has_instances_of_its_own(engine: &str) -> bool {
    ["aurora-mysql", "aurora-postgresql", "docdb", "neptune"].contains(&engine)
}

fn new_instance(cluster: &DbCluster, missing: &WantedInstance, wanted: &Wanted) -> NewDbInstance {
    NewDbInstance {
        id: missing.id.clone(),
        cluster: cluster.id.clone(),
        engine: cluster.engine.clone(),
        class: missing.class.clone(),
        promotion_tier: missing.promotion_tier,
        tags: wanted.tags.clone(),
    }
}

/// The step to the first setting that the database lacks. `None` if it lacks none, if RDS has rejected those
/// that it lacks, or if it is being backed up: that can take hours, in which RDS accepts no change.
fn setting_step(
    id: &DatabaseId,
    (status, settings): (&DbStatus, &DbSettings),
    wanted: &[DbChange],
    progress: &Progress,
) -> Option<Step> {
    let is_rejected = |change: &DbChange| {
        let rejected = &progress.rejected;
        rejected.iter().any(|(of, it, _)| of == id && it == change)
    };
    let change = wanted
        .iter()
        .find(|change| is_lost(change, settings) && !is_rejected(change))?;
    if *status == DbStatus::BackingUp {
        return None;
    }
    let asked = (id.clone(), change.clone());
    Some(
        if status.may_accept_changes() && !progress.changed.contains(&asked) {
            Step::Change(asked.0, asked.1)
        } else {
            Step::Wait {
                what: format!("{id} to apply {change} (now {status})"),
                soon: true,
            }
        },
    )
}

/// Whether the database lacks the setting. What somebody else has set stays: longer retention, more logs.
pub(super) fn is_lost(change: &DbChange, settings: &DbSettings) -> bool {
    match change {
        DbChange::Protect => !settings.deletion_protection,
        DbChange::Retention(days) => settings.retention_days < *days,
        DbChange::IamAuthentication => !settings.iam_authentication,
        DbChange::ExportLogs(types) => !types.is_subset(&settings.log_exports),
        DbChange::PerformanceInsights => !settings.performance_insights,
    }
}

fn wait(id: &DatabaseId, status: &DbStatus, soon: bool) -> Step {
    Step::Wait {
        what: format!("{id} (now {status})"),
        soon,
    }
}

fn unusable(id: DatabaseId, status: &DbStatus) -> Step {
    Step::Refuse(DatabaseRefusal::DatabaseUnusable {
        id,
        status: status.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrate::refusal::Refusal;
    use crate::tags::Tags;

    fn instance(id: &str, status: &str) -> DbInstance {
        DbInstance {
            id: DbInstanceId::new(id),
            arn: format!("arn:aws:rds:us-west-2:1:db:{id}"),
            status: status.into(),
            cluster: None,
            engine: "postgres".to_owned(),
            engine_version: "17.4".to_owned(),
            endpoint: Some(("host".to_owned(), 5432)),
            settings: DbSettings::default(),
            restore_test: false,
        }
    }

    fn cluster(status: &str) -> DbCluster {
        DbCluster {
            id: DbClusterId::new("shop"),
            arn: "arn:aws:rds:us-west-2:1:cluster:shop".to_owned(),
            status: status.into(),
            engine: "aurora-postgresql".to_owned(),
            engine_version: "17.4".to_owned(),
            endpoint: Some(("host".to_owned(), 5432)),
            reader_endpoint: None,
            scaling: None,
            settings: DbSettings::default(),
            restore_test: false,
        }
    }

    fn wanted(pairs: &[(&str, &str)]) -> Wanted {
        let tags: Tags = pairs
            .iter()
            .map(|(key, value)| (format!("recovery:{key}"), (*value).to_owned()))
            .collect();
        let id = match pairs.iter().any(|(key, _)| *key == "instances") {
            true => DatabaseId::Cluster(DbClusterId::new("shop")),
            false => DatabaseId::Instance(DbInstanceId::new("shop")),
        };
        Wanted::of(&tags, &id, "/recovery/", None).unwrap()
    }

    const TWO: (&str, &str) = ("instances", "db.r6g.large x2");
    const SERVERLESS: (&str, &str) = ("instances", "db.serverless 0.5-16");

    fn published() -> Progress {
        Progress {
            published: true,
            ..Progress::default()
        }
    }

    /// A step in short.
    fn shown(step: &Step) -> String {
        match step {
            Step::Done => "done".to_owned(),
            Step::Scale(id, scaling) => format!("scale {id} {scaling}"),
            Step::Create(new) => format!("create {} {}", new.id, new.class),
            Step::Publish => "publish".to_owned(),
            Step::Change(id, change) => format!("change {id} {change}"),
            Step::Wait { what, soon } => {
                format!("wait{} for {what}", if *soon { " shortly" } else { "" })
            }
            Step::Refuse(refusal) => {
                assert!(!refusal.remedy().is_empty());
                format!("refuse {}", refusal.reason())
            }
        }
    }

    #[track_caller]
    fn check(seen: Observed, wanted: &Wanted, progress: &Progress, expected: &str) {
        assert_eq!(shown(&next_step(&seen, wanted, progress)), expected);
    }

    fn of_cluster(cluster: DbCluster, instances: &[(&str, &str)]) -> Observed {
        let instances = instances.iter();
        let instances = instances.map(|(id, status)| instance(id, status));
        Observed::Cluster(cluster, instances.collect())
    }

    #[test]
    fn an_instance_is_published_when_it_is_reachable() {
        let seen = |status: &str| Observed::Instance(instance("shop", status));
        let wanted = wanted(&[]);
        let start = Progress::default();
        check(
            seen("creating"),
            &wanted,
            &start,
            "wait for shop (now creating)",
        );
        check(
            seen("unheard-of"),
            &wanted,
            &start,
            "wait for shop (now unheard-of)",
        );
        for status in ["available", "backing-up", "storage-optimization"] {
            check(seen(status), &wanted, &start, "publish");
            check(seen(status), &wanted, &published(), "done");
        }
        for status in ["failed", "incompatible-parameters", "storage-full"] {
            check(seen(status), &wanted, &start, "refuse database-unusable");
        }
        let without_endpoint = DbInstance {
            endpoint: None,
            ..instance("shop", "available")
        };
        check(
            Observed::Instance(without_endpoint),
            &wanted,
            &start,
            "wait for shop (now available)",
        );
    }

    #[test]
    fn settings_are_applied_one_by_one_after_the_address_is_published() {
        let wanted = wanted(&[("database", "protected retention=7 logs=postgresql")]);
        let mut settings = DbSettings::default();
        let seen = |status: &str, settings: &DbSettings| {
            Observed::Instance(DbInstance {
                settings: settings.clone(),
                ..instance("shop", status)
            })
        };
        let mut progress = Progress::default();
        check(seen("available", &settings), &wanted, &progress, "publish");
        progress.published = true;
        check(
            seen("available", &settings),
            &wanted,
            &progress,
            "change shop protected",
        );
        // RDS has accepted it, and does not show it yet.
        let id = DatabaseId::Instance(DbInstanceId::new("shop"));
        progress.changed.push((id.clone(), DbChange::Protect));
        check(
            seen("available", &settings),
            &wanted,
            &progress,
            "wait shortly for shop to apply protected (now available)",
        );
        check(
            seen("modifying", &settings),
            &wanted,
            &progress,
            "wait shortly for shop to apply protected (now modifying)",
        );
        settings.deletion_protection = true;
        check(
            seen("available", &settings),
            &wanted,
            &progress,
            "change shop retention=7",
        );
        // A backup takes hours: the database is in use meanwhile.
        check(seen("backing-up", &settings), &wanted, &progress, "done");
        // Somebody keeps backups for longer, and exports more logs.
        settings.retention_days = 14;
        settings.log_exports = ["postgresql", "upgrade"].map(str::to_owned).into();
        check(seen("available", &settings), &wanted, &progress, "done");
        settings.log_exports.clear();
        let logs = DbChange::ExportLogs(["postgresql".to_owned()].into());
        progress.rejected.push((id, logs, "no".to_owned()));
        check(seen("available", &settings), &wanted, &progress, "done");
    }

    #[test]
    fn a_cluster_gets_its_instances_before_it_is_published() {
        let wanted = wanted(&[TWO, ("database", "iam-auth")]);
        let start = Progress::default();
        let check = |seen, progress: &Progress, expected| check(seen, &wanted, progress, expected);
        let empty = |status| of_cluster(cluster(status), &[]);
        check(empty("creating"), &start, "wait for shop (now creating)");
        check(empty("failed"), &start, "refuse database-unusable");
        check(empty("available"), &start, "create shop-1 db.r6g.large");
        check(
            empty("modifying"),
            &start,
            "wait shortly for shop (now modifying)",
        );
        // An instance that a person created counts as none of ours.
        let other = of_cluster(cluster("available"), &[("shop-by-hand", "available")]);
        check(other, &start, "create shop-1 db.r6g.large");
        let one = of_cluster(cluster("available"), &[("shop-1", "creating")]);
        check(one.clone(), &start, "create shop-2 db.r6g.large");
        // RDS does not list the second one yet.
        let created = |published| Progress {
            published,
            created: vec![DbInstanceId::new("shop-2")],
            ..Progress::default()
        };
        check(one, &created(false), "change shop iam-auth");
        let both = |first, second| {
            let mut cluster = cluster("available");
            cluster.settings.iam_authentication = true;
            of_cluster(cluster, &[("shop-1", first), ("shop-2", second)])
        };
        check(
            both("creating", "creating"),
            &start,
            "wait for shop-1 (now creating)",
        );
        // The writer serves already.
        check(both("available", "creating"), &start, "publish");
        check(
            both("available", "creating"),
            &published(),
            "wait for shop-2 (now creating)",
        );
        check(both("available", "backing-up"), &published(), "done");
        check(both("available", "failed"), &start, "publish");
        check(
            both("available", "failed"),
            &published(),
            "refuse database-unusable",
        );
        check(
            both("failed", "creating"),
            &start,
            "refuse database-unusable",
        );
        // One that a person created has failed.
        let mut settled = cluster("available");
        settled.settings.iam_authentication = true;
        let all = of_cluster(
            settled.clone(),
            &[
                ("by-hand", "failed"),
                ("shop-1", "available"),
                ("shop-2", "available"),
            ],
        );
        check(all, &start, "publish");
        let hidden = of_cluster(settled, &[("shop-1", "available")]);
        check(hidden, &created(true), "wait shortly for shop-2 to show");
    }

    #[test]
    fn serverless_capacity_is_set_before_the_first_instance() {
        let wanted = wanted(&[SERVERLESS]);
        let empty = |cluster| of_cluster(cluster, &[]);
        let start = Progress::default();
        check(
            empty(cluster("available")),
            &wanted,
            &start,
            "scale shop 0.5-16",
        );
        let scaled = Progress {
            scaled: true,
            ..Progress::default()
        };
        check(
            empty(cluster("available")),
            &wanted,
            &scaled,
            "wait shortly for shop (now available)",
        );
        check(
            empty(cluster("modifying")),
            &wanted,
            &start,
            "wait shortly for shop (now modifying)",
        );
        let set = |least, most| DbCluster {
            scaling: Some(Scaling {
                least: crate::aws::database::Capacity { halves: least },
                most: crate::aws::database::Capacity { halves: most },
            }),
            ..cluster("available")
        };
        for (least, most) in [(1, 32), (4, 8)] {
            check(
                empty(set(least, most)),
                &wanted,
                &start,
                "create shop-1 db.serverless",
            );
        }
    }

    #[test]
    fn settings_of_instances_follow_when_they_are_reachable() {
        let wanted = wanted(&[TWO, ("database", "performance-insights")]);
        let seen = |first: bool| {
            let mut one = instance("shop-1", "available");
            one.settings.performance_insights = first;
            let two = instance("shop-2", "available");
            Observed::Cluster(cluster("available"), vec![two, one])
        };
        check(
            seen(false),
            &wanted,
            &published(),
            "change shop-1 performance-insights",
        );
        check(
            seen(true),
            &wanted,
            &published(),
            "change shop-2 performance-insights",
        );
    }

    #[test]
    fn refuses_a_cluster_whose_instances_rds_manages() {
        let wanted = wanted(&[TWO]);
        for engine in ["postgres", "mysql", "aurora"] {
            let cluster = DbCluster {
                engine: engine.to_owned(),
                ..cluster("available")
            };
            check(
                of_cluster(cluster, &[]),
                &wanted,
                &Progress::default(),
                "refuse engine-unsupported",
            );
        }
        for engine in ["aurora-mysql", "docdb", "neptune"] {
            let cluster = DbCluster {
                engine: engine.to_owned(),
                ..cluster("available")
            };
            check(
                of_cluster(cluster, &[]),
                &wanted,
                &Progress::default(),
                "create shop-1 db.r6g.large",
            );
        }
    }
}
