//! A restored database, in every state.

use recovery_core::aws::database::CreateTrouble;
use recovery_core::fakes::{Parameter, World};
use recovery_core::ops_item::Status;
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::databases::{
    add_foreign_instance, databases_of_a_drill, integrate_database, retag_database,
    set_database_status,
};
use crate::support::repository::event;
use crate::support::restored::track;

use super::{at_the_quota, restored};

const AURORA: &str = "restore-completed-aurora";
const RDS: &str = "restore-completed-rds";

fn of(name: &'static str, file: &'static str, leads_to: &'static str) -> Scenario {
    Scenario::new(
        Function::DatabaseIntegrator,
        name,
        file,
        leads_to,
        restored(file),
    )
}

fn cluster(name: &'static str, leads_to: &'static str) -> Scenario {
    of(name, AURORA, leads_to).given(|world| {
        retag_database(world, "recovery:instances", "db.r6g.large");
    })
}

fn instance(name: &'static str, leads_to: &'static str) -> Scenario {
    of(name, RDS, leads_to)
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [integrated(), refused(), skipped(), waited_for()]
        .into_iter()
        .flatten()
        .collect()
}

fn settings(world: &World) {
    retag_database(world, "recovery:database", "protected retention=7");
}

/// The database is integrated.
fn integrated() -> Vec<Scenario> {
    const DRILL: &str = "manual-drill-database-restore-job";
    vec![
        of("two-instances", AURORA, "integrated").briefly(),
        of("documentdb", "restore-completed-documentdb", "integrated").briefly(),
        of("neptune", "restore-completed-neptune", "integrated").briefly(),
        cluster("cluster", "integrated"),
        cluster("unpublished", "integrated")
            .given(|world| retag_database(world, "recovery:publish", "")),
        cluster("serverless", "integrated").given(|world| {
            retag_database(world, "recovery:instances", "db.serverless 0.5-16");
            world.state().databases.reads_until_changed = 1;
        }),
        cluster("settings-of-a-cluster", "integrated")
            .given(|world| {
                let all = "protected retention=7 iam-auth logs=audit performance-insights";
                retag_database(world, "recovery:database", all);
            })
            .briefly(),
        instance("instance", "integrated"),
        instance("settings", "integrated").given(settings),
        instance("slow-settings", "integrated")
            .given(|world| {
                settings(world);
                world.state().databases.reads_until_changed = 2;
            })
            .briefly(),
        instance("rejected-setting", "integrated").given(|world| {
            settings(world);
            world.state().databases.refused_changes = vec!["protected"];
        }),
        instance("backed-up", "integrated").given(|world| {
            settings(world);
            set_database_status(world, "backing-up");
        }),
        instance("unusable-optional-tags", "integrated").given(|world| {
            retag_database(world, "recovery:database", "fast");
            retag_database(world, "recovery:publish", "/elsewhere");
        }),
        instance("replaced-parameter", "integrated").given(|world| {
            for (leaf, value) in [("endpoint", "old.example"), ("arn", "arn:old")] {
                let parameter = Parameter {
                    value: value.to_owned(),
                    tags: std::collections::BTreeMap::new(),
                    version: 1,
                };
                let name = format!("/recovery/shop/db/{leaf}");
                world.state().parameters.insert(name, parameter);
            }
        }),
        instance("tracked", "integrated")
            .given(|world| drop(track(world, &event(RDS)).expect("nothing fails"))),
        cluster("after-a-refusal", "integrated").given(|world| {
            world.state().databases.create_trouble = Some(CreateTrouble::Capacity);
            delivered(world, AURORA);
            world.state().databases.create_trouble = None;
        }),
        instance("delivered-before", "already-integrated").given(|world| delivered(world, RDS)),
        of(
            "by-id",
            "manual-database-restore-job",
            "integrated",
        )
        .briefly(),
        of("drill", DRILL, "integrated")
            .given(|world| {
                databases_of_a_drill(world);
                retag_database(world, "recovery:instances", "db.r6g.large");
                settings(world);
            })
            .briefly(),
        at_the_quota(instance("at-the-quota", "integrated")),
        at_the_quota(instance("left-to-do-at-the-quota", "integrated").given(|world| {
            retag_database(world, "recovery:database", "fast");
        })),
        // The recovery point has no tags: the plan names an older one with tags.
        of("tags-of-an-older-point", "manual-database-restore-job", "integrated")
            .given(|world| {
                let mut state = world.state();
                let tags = state.tags.pop_first().map(|(_, tags)| tags);
                let own = crate::support::repository::event(AURORA)["resources"][0]
                    .as_str()
                    .map(str::to_owned);
                state.tags.insert(own.unwrap_or_default(), std::collections::BTreeMap::from([(
                    "recovery:instances".to_owned(), "db.r6g.large".to_owned(),
                )]));
                state.tags.insert(OLDER_POINT.to_owned(), tags.unwrap_or_default());
            })
            .with(|input| {
                input["item"] = json!({
                    "resourceArn": "arn:aws:rds:us-east-1:111122223333:cluster:ledger",
                    "recoveryPointArn": "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:job-3377ccb0-76b5-40f5-97d0-9f1fdaf48f90",
                    "type": "Aurora", "createdAt": "2026-11-23T05:00:00Z", "ageSeconds": 3600, "wave": 0,
                    "target": {
                        "kind": "database", "identifier": "ledger", "stack": "shop",
                        "subnetGroup": "Subnets", "securityGroups": ["Db"],
                    },
                    "metadata": {}, "predictions": {},
                    "tagsFrom": {"recoveryPointArn": OLDER_POINT, "createdAt": "2026-11-22T05:00:00Z"},
                });
            })
            .briefly(),
    ]
}

const OLDER_POINT: &str =
    "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:copyjob-older";

/// A rule refuses the integration.
fn refused() -> Vec<Scenario> {
    let trouble = |name, leads_to, trouble| {
        cluster(name, leads_to)
            .given(|world| world.state().databases.create_trouble = Some(trouble))
            .briefly()
    };
    vec![
        cluster("tag-missing", "refused/tag-missing")
            .given(|world| retag_database(world, "recovery:instances", "")),
        cluster("tag-invalid", "refused/tag-invalid")
            .given(|world| retag_database(world, "recovery:instances", "large")),
        instance("unusable", "refused/database-unusable")
            .given(|world| set_database_status(world, "storage-full")),
        instance("gone", "refused/database-gone")
            .given(|world| world.state().databases.instances.clear()),
        cluster("engine-unsupported", "refused/engine-unsupported").given(|world| {
            let mut state = world.state();
            let clusters = state.databases.clusters.values_mut();
            clusters.for_each(|it| it.engine = "mysql".to_owned());
        }),
        cluster("identifier-taken", "refused/identifier-taken")
            .given(|world| add_foreign_instance(world, "ledger-1")),
        trouble("quota", "refused/instance-quota", CreateTrouble::Quota),
        trouble("capacity", "refused/no-capacity", CreateTrouble::Capacity),
        trouble(
            "network",
            "refused/network-unusable",
            CreateTrouble::Network,
        ),
        trouble("key", "refused/key-unusable", CreateTrouble::Key),
        trouble(
            "rejected",
            "refused/instance-rejected",
            CreateTrouble::Request,
        ),
        at_the_quota(
            instance("refused-at-the-quota", "refused/database-unusable")
                .given(|world| set_database_status(world, "failed")),
        ),
        instance(
            "refused-and-resolved-by-a-user",
            "refused/database-unusable",
        )
        .given(|world| {
            world.state().databases.instances.clear();
            delivered(world, RDS);
            world.state().items[0].item.status = Status::Resolved;
            let known = restored(RDS).state().databases.clone();
            world.state().databases = known;
            set_database_status(world, "failed");
        }),
        instance("not-here", "refused/not-here").with(|event| event["region"] = json!("eu-west-1")),
    ]
}

/// The restore is skipped.
fn skipped() -> Vec<Scenario> {
    vec![
        instance("untagged", "ignored/untagged").given(|world| {
            for key in ["workload", "instances", "publish"] {
                retag_database(world, &format!("recovery:{key}"), "");
            }
        }),
        instance("restore-test", "ignored/restore-test").given(|world| {
            let mut state = world.state();
            let instances = state.databases.instances.values_mut();
            instances.for_each(|it| it.restore_test = true);
        }),
        of("drill-event", RDS, "ignored/drill").with(|event| {
            event["detail"]["iamRoleArn"] = json!(recovery_core::fakes::DRILL_ROLE);
        }),
        of(
            "not-a-drill",
            "manual-drill-database-restore-job",
            "refused/not-a-drill",
        ),
        of(
            "drill-in-the-workloads-stack",
            "manual-drill-database-restore-job",
            "refused/drill-target",
        )
        .given(databases_of_a_drill)
        .with(|input| input["drill"]["stack"] = json!("shop")),
        of(
            "drill-without-a-name",
            "manual-drill-database-restore-job",
            "Permanent",
        )
        .given(databases_of_a_drill)
        .with(|input| input["drill"]["name"] = json!(null)),
        of(
            "other-type",
            "restore-completed-ebs",
            "ignored/resource-type",
        ),
    ]
}

/// Something takes minutes.
fn waited_for() -> Vec<Scenario> {
    vec![
        instance("created-late", "pending")
            .given(|world| set_database_status(world, "creating"))
            .then(|world| world.state().databases.complete()),
        cluster("instances-created-late", "pending")
            .given(|world| world.state().databases.reads_until_created = usize::MAX)
            .then(|world| world.state().databases.complete()),
        cluster("busy-at-first", "pending")
            .given(|world| set_database_status(world, "modifying"))
            .then(|world| world.state().databases.complete())
            .briefly(),
        of(
            "by-id-unknown-at-first",
            "manual-database-restore-job",
            "Retryable",
        )
        .given(|world| world.state().restore_jobs.clear())
        .then(|world| {
            let known = restored("manual-database-restore-job")
                .state()
                .restore_jobs
                .clone();
            world.state().restore_jobs = known;
        })
        .briefly(),
    ]
}

/// The integration has already run.
fn delivered(world: &World, file: &str) {
    integrate_database(world, &event(file)).expect("nothing fails");
}
