//! For any tags, a restored table, database or bucket is integrated, pending or refused, with texts that AWS accepts.
//! A repeated request has the same result. The same tags give a plan, or a refusal with its remedy.
#![no_main]

use arbitrary::{Result, Unstructured};
use futures_util::FutureExt;
use fuzz::{assert_acceptable, assert_answer};
use libfuzzer_sys::fuzz_target;
use recovery_core::aws::arn::{Arn, RecoveryPointArn, RestoreJobId, Scope};
use recovery_core::aws::backup::RestoreJob;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World, volume_point};
use recovery_core::integrate::bucket::run::{self as bucket, BucketConfig};
use recovery_core::integrate::database::run::{self as database, DatabaseConfig};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::table::run::{self as table, TableConfig};
use recovery_core::plan::run::{PlannerConfig, handle};
use recovery_core::ports::Clock;
use recovery_core::tags::{
    DATABASE, IDENTIFIER, INSTANCES, LOGICAL_ID, OPTION_GROUP, PARAMETER_GROUP, PREFIXES, PUBLISH,
    SECURITY_GROUPS, STACK, TABLE, Tags, VERSIONS, WAVE, WORKLOAD,
};
use serde_json::json;

const USUAL: [(&str, &[&str]); 14] = [
    (WORKLOAD, &["shop", "shop", "till"]),
    (STACK, &["shop", "", "no stack!"]),
    (
        LOGICAL_ID,
        &[
            "Subnets",
            "Assets",
            "Net/prefix:S",
            "tag:Name=db",
            "name:orders",
            "a b",
        ],
    ),
    (SECURITY_GROUPS, &["Db sg-0a1b2c3d", "name:x", ""]),
    (PARAMETER_GROUP, &["Tuned", "name:tuned", "!"]),
    (OPTION_GROUP, &["Options", "!"]),
    (IDENTIFIER, &["orders", "orders-2", "a--b", "ab"]),
    (
        INSTANCES,
        &["db.r6g.large x2", "db.serverless 0.5-16", "db. x", "x9999"],
    ),
    (
        DATABASE,
        &["protected retention=7", "iam-auth logs=a+b", "retention=99"],
    ),
    (
        TABLE,
        &[
            "pitr ttl=expires stream=NEW_IMAGE protected",
            "pitr=0",
            "ttl=",
        ],
    ),
    (
        PUBLISH,
        &["/recovery/shop", "/elsewhere", "/recovery/drill/x"],
    ),
    (VERSIONS, &["3", "all", "0"]),
    (PREFIXES, &["2026/ images/", "/", "a b c d e f"]),
    (WAVE, &["0", "9", "10"]),
];

fn tags(input: &mut Unstructured<'_>) -> Result<Tags> {
    let mut tags = Tags::new();
    for (key, usual) in USUAL {
        if input.ratio(3, 4)? {
            let value = if input.ratio(1, 8)? {
                input.arbitrary::<&str>()?
            } else {
                input.choose(usual)?
            };
            tags.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(tags)
}

/// The world in which a resource of this type was restored from a recovery point with these tags, and its job.
fn world_of(kind: &str, tags: &Tags) -> (World, &'static str) {
    let tags: Vec<(&str, &str)> = tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    match kind {
        "DynamoDB" => (World::with_restored_table(&tags), "job-1"),
        "RDS" => {
            let world = World::new();
            world.add_restored_instance(&tags);
            (world, "job-db")
        }
        "S3" => {
            let world = World::new();
            world.add_bucket("shop");
            world.add_restored_bucket(&tags);
            (world, "job-bucket")
        }
        _ => {
            let world = World::new();
            world.add_restored_cluster(&tags);
            (world, "job-db")
        }
    }
}

fn check(kind: &str, restored: &str, tags: &Tags) -> Option<()> {
    let ownership = Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    };
    let publish_path = "/recovery/".to_owned();
    let (world, job) = world_of(kind, tags);
    let clock = FakeClock::new();
    for _ in 0..3 {
        let job = RestoreJob::known_by_id(RestoreJobId::new(job));
        let (ownership, publish_path) = (ownership.clone(), publish_path.clone());
        let answer = match kind {
            "DynamoDB" => {
                let config = TableConfig {
                    ownership,
                    publish_path,
                };
                table::integrate(&world, &clock, &config, job).now_or_never()
            }
            "S3" => {
                let config = BucketConfig {
                    ownership,
                    publish_path,
                };
                bucket::integrate(&world, &clock, &config, job).now_or_never()
            }
            _ => {
                let config = DatabaseConfig {
                    ownership,
                    publish_path,
                };
                database::integrate(&world, &clock, &config, job).now_or_never()
            }
        };
        assert_answer(&answer.expect("nothing in this world waits"));
        assert_acceptable(&world);
    }
    for name in world.state().parameters.keys() {
        assert!(name.starts_with("/recovery/"), "{name}");
    }
    // The plan of the same recovery point.
    let vault = World::new();
    let mut point = volume_point("a", "a", clock.now()).ok()?;
    let form = match kind {
        "DynamoDB" | "S3" => "backup:us-west-2:111122223333:recovery-point:1",
        "RDS" => "rds:us-west-2:111122223333:snapshot:awsbackup:copyjob-1",
        _ => "rds:us-west-2:111122223333:cluster-snapshot:awsbackup:copyjob-1",
    };
    point.arn = RecoveryPointArn::parse(&format!("arn:aws:{form}")).ok()?;
    point.resource = Arn::parse(&restored.replace("us-west-2", "us-east-1")).ok()?;
    point.resource_type = kind.to_owned();
    {
        let mut state = vault.state();
        state.tags.insert(point.arn.to_string(), tags.clone());
        state.backups.points.push(point);
    }
    let config = PlannerConfig {
        vault: "recovery".to_owned(),
        bucket: "plans".to_owned(),
    };
    for input in [
        json!({"workload": "shop", "mode": "recover"}),
        json!({"workload": "shop", "mode": "drill", "stack": "shop-drill"}),
    ] {
        let answer = handle(&vault, &clock, &config, &input).now_or_never();
        assert_answer(&answer.expect("nothing in this world waits"));
    }
    Some(())
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(tags) = tags(&mut Unstructured::new(bytes)) else {
        return;
    };
    for (kind, restored) in [
        (
            "DynamoDB",
            "arn:aws:dynamodb:us-west-2:111122223333:table/orders",
        ),
        ("RDS", "arn:aws:rds:us-west-2:111122223333:db:orders"),
        (
            "Aurora",
            "arn:aws:rds:us-west-2:111122223333:cluster:orders",
        ),
        ("S3", "arn:aws:s3:::orders"),
    ] {
        check(kind, restored, &tags);
    }
});
