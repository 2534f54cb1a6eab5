//! Invariants of every recovery plan, and the handling of each kind of recovery point.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn};
use recovery_core::aws::backup::RecoveryPoint;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::Instance;
use recovery_core::fakes::{Failure, FakeClock, World, volume_point};
use recovery_core::outcome::Outcome;
use recovery_core::plan::Plan;
use recovery_core::plan::candidates::Candidates;
use recovery_core::plan::resource_type::{RULES, Support};
use recovery_core::plan::run::{INLINE_LIMIT, PlannerConfig, handle};
use recovery_core::ports::{Clock, SNAPSHOTS_AT_ONCE};
use recovery_core::tags::Tags;
use serde_json::{Value, json};

fn config() -> PlannerConfig {
    PlannerConfig {
        vault: "recovery".to_owned(),
        bucket: "plans-of-shop".to_owned(),
    }
}

fn now() -> DateTime<Utc> {
    FakeClock::new().now()
}

fn hours_ago(hours: i64) -> DateTime<Utc> {
    now() - TimeDelta::hours(hours)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn planned(world: &World, input: &Value) -> Outcome {
    run(handle(world, &FakeClock::new(), &config(), input)).unwrap()
}

fn recover() -> Value {
    json!({"workload": "shop", "mode": "recover"})
}

/// The stored plan.
fn kept(world: &World, outcome: &Outcome) -> Plan {
    let state = world.state();
    let body = &state.backups.objects[outcome.id("planKey").unwrap()];
    serde_json::from_str(body).unwrap()
}

/// Tags of a volume of the workload `shop`, with more or other ones.
fn tags(extra: &[(&str, &str)]) -> Tags {
    [
        ("recovery:workload", "shop"),
        ("recovery:stack", "shop"),
        ("recovery:logical-id", "Server"),
    ]
    .iter()
    .chain(extra)
    .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
    .collect()
}

/// Adds a recovery point with these tags.
fn add(world: &World, point: RecoveryPoint, tags: Tags) {
    let mut state = world.state();
    state.tags.insert(point.arn.to_string(), tags);
    state.backups.points.push(point);
}

fn add_volume(world: &World, volume: &str, hours: i64, extra: &[(&str, &str)]) {
    let point = volume_point(volume, &format!("{volume}-{hours}"), hours_ago(hours)).unwrap();
    world.add_point(point, extra);
}

/// Resource, recovery point and wave of each item.
fn items(plan: &Plan) -> Vec<(String, String, u8)> {
    let id = |arn: &str| arn.rsplit('/').next().unwrap_or_default().to_owned();
    plan.items()
        .map(|item| {
            (
                id(&item.resource_arn),
                id(&item.recovery_point_arn),
                item.wave,
            )
        })
        .collect()
}

/// Resource and reason of each refusal.
fn reasons(plan: &Plan) -> Vec<(String, String)> {
    plan.refusals
        .iter()
        .map(|refused| {
            let id = refused.resource_arn.rsplit(['/', ':']).next();
            (id.unwrap_or_default().to_owned(), refused.reason.clone())
        })
        .collect()
}

fn owned<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .into_iter()
        .collect()
}

#[test]
fn plans_the_newest_point_of_each_volume_in_wave_order() {
    let world = World::new();
    add_volume(&world, "b", 5, &[]);
    add_volume(&world, "b", 2, &[("recovery:device", "/dev/sdg")]);
    add_volume(&world, "a", 3, &[("recovery:wave", "1")]);
    add_volume(&world, "c", 1, &[]);
    add_volume(&world, "other", 1, &[("recovery:workload", "till")]);
    let outcome = planned(&world, &recover());
    assert_eq!((outcome.kind(), outcome.reason()), ("planned", None));
    let plan = kept(&world, &outcome);
    let expected = [
        ("vol-b", "snap-b-2", 0),
        ("vol-c", "snap-c-1", 0),
        ("vol-a", "snap-a-3", 1),
    ];
    assert_eq!(
        items(&plan),
        expected.map(|(a, b, wave)| (a.to_owned(), b.to_owned(), wave))
    );
    assert!(plan.refusals.is_empty());
    let first = plan.items().next().unwrap();
    assert_eq!(first.age_seconds, 2 * 3600);
    assert_eq!(
        first.target.volume().unwrap().device.as_deref(),
        Some("/dev/sdg")
    );
    assert_eq!(first.predictions.volume_gib, Some(8));
    assert_eq!(plan.totals.items, 3);
    assert_eq!(plan.totals.recovery_points, 5);
    assert_eq!(plan.totals.volume_gib, 24);
    assert_eq!(plan.totals.oldest_age_seconds, Some(3 * 3600));

    // The outcome has the plan, too, and the key of each wave.
    assert_eq!(outcome.member("plan").unwrap(), &json!(plan));
    assert_eq!(outcome.id("planHash"), Some(plan.hash.as_str()));
    assert_eq!(outcome.id("planBucket"), Some("plans-of-shop"));
    let prefix = format!("plans/shop/{}", plan.hash);
    assert_eq!(outcome.id("planKey").unwrap(), format!("{prefix}.json"));
    assert_eq!(
        outcome.member("waves").unwrap(),
        &json!([
            {"wave": 0, "items": 2, "key": format!("{prefix}/wave-0.json")},
            {"wave": 1, "items": 1, "key": format!("{prefix}/wave-1.json")},
        ])
    );
    let wave = world.state().backups.objects[&format!("{prefix}/wave-1.json")].clone();
    assert_eq!(
        serde_json::from_str::<Value>(&wave).unwrap(),
        json!(plan.waves[1].items)
    );
    assert_eq!(
        outcome.member("summary").unwrap()["oldestAgeSeconds"],
        3 * 3600
    );
    // Logs contain the ids, not the plan.
    assert!(outcome.redacted().member("plan").is_none());
    assert_eq!(outcome.redacted().id("workload"), Some("shop"));
}

/// Reasons why a recovery point cannot be restored.
type Defect = fn(&mut RecoveryPoint);
const DEFECTS: [(&str, Defect); 9] = [
    ("point-status", |point| point.status = "PARTIAL".to_owned()),
    ("point-status", |point| point.status = "EXPIRED".to_owned()),
    ("point-status", |point| point.status = "CREATING".to_owned()),
    ("point-status", |point| point.status = String::new()),
    ("composite", |point| point.is_parent = true),
    ("composite-child", |point| point.is_child = true),
    ("threats-found", |point| point.threats_found = true),
    ("cold-storage", |point| {
        point.cold_from = Some(now());
        point.archives = true;
    }),
    ("later-than-asked", |point| point.created = now()),
];

#[test]
fn skips_unrestorable_points_and_refuses_resources_without_others() {
    let input = json!({
        "workload": "shop", "mode": "recover", "restoreTo": hours_ago(1).to_rfc3339(),
    });
    for (reason, defect) in DEFECTS {
        let world = World::new();
        let mut defective = volume_point("a", "new", hours_ago(2)).unwrap();
        defect(&mut defective);
        world.add_point(defective.clone(), &[]);
        let outcome = planned(&world, &input);
        assert_eq!(outcome.reason(), Some("nothing-to-restore"), "{reason}");
        let plan = kept(&world, &outcome);
        assert_eq!(reasons(&plan), owned([("vol-a", reason)]));
        assert!(!plan.refusals[0].remedy.is_empty());

        let world = World::new();
        world.add_point(defective, &[]);
        add_volume(&world, "a", 9, &[]);
        let plan = kept(&world, &planned(&world, &input));
        assert_eq!(
            items(&plan),
            [("vol-a".to_owned(), "snap-a-9".to_owned(), 0)],
            "{reason}"
        );
        assert!(plan.refusals.is_empty(), "{reason}");
    }
    // AVAILABLE counts as COMPLETED, a point that moves to cold storage later is still warm, volumes are
    // archived only on request, and the requested time is inclusive.
    for (archives, from) in [(true, now() + TimeDelta::hours(1)), (false, now())] {
        let world = World::new();
        let mut point = volume_point("a", "new", hours_ago(1)).unwrap();
        point.status = "AVAILABLE".to_owned();
        point.cold_from = Some(from);
        point.archives = archives;
        world.add_point(point, &[]);
        assert_eq!(kept(&world, &planned(&world, &input)).totals.items, 1);
    }
}

#[test]
fn refuses_with_the_newest_point_before_the_requested_time() {
    let world = World::new();
    let mut infected = volume_point("a", "old", hours_ago(5)).unwrap();
    infected.threats_found = true;
    world.add_point(infected, &[]);
    add_volume(&world, "a", 1, &[]);
    let input = json!({
        "workload": "shop", "mode": "recover", "restoreTo": hours_ago(4).to_rfc3339(),
    });
    let plan = kept(&world, &planned(&world, &input));
    assert_eq!(reasons(&plan), owned([("vol-a", "threats-found")]));
}

#[test]
fn sorts_a_wave_by_resource() {
    let world = World::new();
    add_volume(&world, "a", 1, &[]);
    let held = RecoveryPoint {
        arn: RecoveryPointArn::parse("arn:aws:backup:us-west-2:1:recovery-point:1").unwrap(),
        ..volume_point("b", "b", hours_ago(1)).unwrap()
    };
    world.add_point(held, &[]);
    add_volume(&world, "c", 1, &[]);
    let plan = kept(&world, &planned(&world, &recover()));
    let resources: Vec<_> = items(&plan)
        .into_iter()
        .map(|(resource, ..)| resource)
        .collect();
    assert_eq!(resources, ["vol-a", "vol-b", "vol-c"]);
}

/// The resource is restored with the tag's default, and the item names the tag.
#[test]
fn plans_resources_despite_an_invalid_optional_tag() {
    for (key, value) in [
        ("recovery:mount", "d:"),
        ("recovery:mount", "/srv/my data"),
        ("recovery:device", "/dev/nvme1n1"),
        ("recovery:wave", "soon"),
    ] {
        let world = World::new();
        add_volume(&world, "data", 1, &[(key, value)]);
        let plan = kept(&world, &planned(&world, &recover()));
        assert_eq!(plan.refusals, [], "{key}");
        let item = plan.items().next().unwrap();
        assert_eq!(
            (
                item.wave,
                &item.target.volume().unwrap().device,
                &item.target.volume().unwrap().mount
            ),
            (0, &None, &None)
        );
        let plan = serde_json::to_value(item).unwrap();
        let noted = plan["unusableTags"][0].as_str().unwrap();
        let expected = format!("the tag {key} of the recovery point is `{value}`, but must be");
        assert!(noted.starts_with(&expected), "{noted}");
    }
}

/// A recovery point of this type.
fn of_type(kind: &str, arn: &str, resource: &str) -> RecoveryPoint {
    RecoveryPoint {
        arn: RecoveryPointArn::parse(arn).unwrap(),
        resource: Arn::parse(resource).unwrap(),
        resource_type: kind.to_owned(),
        ..volume_point("x", "x", hours_ago(1)).unwrap()
    }
}

#[test]
fn refuses_missing_or_invalid_tags_and_unsupported_types_with_a_reason() {
    let world = World::new();
    add_volume(&world, "good", 1, &[]);
    add_volume(&world, "stack", 1, &[("recovery:stack", "no stack!")]);
    for (volume, kept) in [("untagged", 1), ("half", 2)] {
        let point = volume_point(volume, volume, hours_ago(1)).unwrap();
        add(
            &world,
            point,
            tags(&[]).into_iter().rev().take(kept).collect(),
        );
    }
    let held = "arn:aws:backup:us-west-2:111122223333:recovery-point:";
    for (kind, arn, resource, workload) in [
        (
            "EFS",
            format!("{held}1"),
            "elasticfilesystem:us-east-1:1:file-system/fs-1",
            "shop",
        ),
        (
            "EFS",
            format!("{held}2"),
            "elasticfilesystem:us-east-1:1:file-system/fs-2",
            "till",
        ),
        (
            "EC2",
            "arn:aws:ec2:us-west-2::image/ami-1".to_owned(),
            "ec2:us-east-1:1:instance/i-1",
            "shop",
        ),
        (
            "RDS",
            "arn:aws:rds:us-west-2:1:snapshot:awsbackup:job-1".to_owned(),
            "rds:us-east-1:1:db:db-1",
            "shop",
        ),
        (
            "Redshift",
            "arn:aws:redshift:us-west-2:1:snapshot:c/awsbackup-1".to_owned(),
            "redshift:us-east-1:1:cluster/c-3",
            "till",
        ),
        (
            "Novelty",
            format!("{held}3"),
            "novelty:us-east-1:1:thing/thing-1",
            "shop",
        ),
    ] {
        let point = of_type(kind, &arn, &format!("arn:aws:{resource}"));
        world.add_point(point, &[("recovery:workload", workload)]);
    }
    let outcome = planned(&world, &recover());
    let plan = kept(&world, &outcome);
    assert_eq!(plan.totals.items, 1);
    let mut found = reasons(&plan);
    found.sort();
    assert_eq!(
        found,
        owned([
            ("c-3", "tags-elsewhere"),
            ("db-1", "tag-missing"),
            ("fs-1", "tag-missing"),
            ("i-1", "tag-missing"),
            ("thing-1", "type-not-restored"),
            ("vol-half", "tag-missing"),
            ("vol-stack", "tag-invalid"),
            ("vol-untagged", "untagged"),
        ])
    );
    assert_eq!(
        outcome.member("summary").unwrap()["refusalsByReason"]["type-not-restored"],
        1
    );
    let why = |reason: &str| {
        &plan
            .refusals
            .iter()
            .find(|it| it.reason == reason)
            .unwrap()
            .why
    };
    assert!(why("type-not-restored").contains("not restored by a plan"));
    assert!(why("tags-elsewhere").contains("its workload is unknown"));
}

#[test]
fn each_type_that_is_not_restored_has_its_own_remedy() {
    let mut remedies = BTreeSet::new();
    for rules in &RULES {
        let Support::ByHand(by_hand) = rules.support else {
            continue;
        };
        let world = World::new();
        let point = of_type(
            rules.name,
            "arn:aws:backup:us-west-2:1:recovery-point:1",
            "arn:aws:other:us-east-1:1:thing/thing-1",
        );
        world.add_point(point, &[]);
        let plan = kept(&world, &planned(&world, &recover()));
        let [refused] = plan.refusals.as_slice() else {
            panic!("{}: {:?}", rules.name, plan.refusals);
        };
        assert_eq!(refused.reason, "type-not-restored");
        assert!(refused.why.contains(rules.name), "{}", refused.why);
        assert!(refused.why.contains(by_hand.why), "{}", refused.why);
        assert_eq!(refused.remedy, by_hand.remedy);
        assert!(remedies.insert(by_hand.remedy), "{}", rules.name);
    }
    assert_eq!(remedies.len(), 9);
}

#[test]
fn refuses_only_the_point_whose_tags_cannot_be_read() {
    let world = World::new();
    add_volume(&world, "a", 1, &[]);
    let point = RecoveryPoint {
        arn: RecoveryPointArn::parse("arn:aws:backup:us-west-2:1:recovery-point:1").unwrap(),
        resource: Arn::parse("arn:aws:elasticfilesystem:us-east-1:1:file-system/fs-1").unwrap(),
        resource_type: "EFS".to_owned(),
        ..volume_point("x", "x", hours_ago(1)).unwrap()
    };
    world.add_point(point, &[]);
    world.fail("backup:ListTags", Failure::Denied);
    let plan = kept(&world, &planned(&world, &recover()));
    assert_eq!(plan.totals.items, 1);
    assert_eq!(reasons(&plan), owned([("fs-1", "tags-unread")]));
    world.fail("backup:ListTags", Failure::Throttled);
    let error = run(handle(&world, &FakeClock::new(), &config(), &recover())).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
}

/// A recovery point without the tags of its resource.
fn add_untagged(world: &World, volume: &str, hours: i64, own: &[(&str, &str)]) {
    let point = volume_point(volume, &format!("{volume}-{hours}"), hours_ago(hours)).unwrap();
    let own = own.iter();
    let own = own.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    add(world, point, own.collect());
}

#[test]
fn identifies_a_resource_by_an_older_point_when_the_newest_has_no_tags() {
    let world = World::new();
    add_volume(&world, "a", 9, &[("recovery:device", "/dev/sdx")]);
    add_volume(
        &world,
        "a",
        5,
        &[("recovery:wave", "2"), ("recovery:device", "/dev/sdg")],
    );
    add_untagged(&world, "a", 3, &[("recovery:workload", " ")]);
    add_untagged(&world, "a", 1, &[("Name", "data")]);
    // It never had the tags of a workload.
    add_untagged(&world, "nobody", 2, &[]);
    add_untagged(&world, "nobody", 1, &[("Name", "data")]);
    let outcome = planned(&world, &recover());
    let plan = kept(&world, &outcome);
    assert_eq!(
        items(&plan),
        [("vol-a".to_owned(), "snap-a-1".to_owned(), 2)],
        "the newest point is restored"
    );
    assert!(plan.refusals.is_empty());
    let item = plan.items().next().unwrap();
    assert_eq!(
        item.target.volume().unwrap().device.as_deref(),
        Some("/dev/sdg")
    );
    let from = item.tags_from.as_ref().unwrap();
    assert!(from.recovery_point_arn.ends_with("snap-a-5"));
    assert_eq!(from.created_at, hours_ago(5));
    assert_eq!(plan.totals.recovery_points, 6, "each is counted once");
    // The same tags on another point: the plan stored under the previous hash names the first point.
    add_volume(
        &world,
        "a",
        4,
        &[("recovery:wave", "2"), ("recovery:device", "/dev/sdg")],
    );
    let later = planned(&world, &recover());
    assert_ne!(later.id("planHash"), outcome.id("planHash"));
    let notes = outcome.member("notes").unwrap().as_array().unwrap();
    let [note] = &notes[..] else {
        panic!("{notes:?}");
    };
    let note = note.as_str().unwrap();
    for part in ["vol-a", "snap-a-1", "snap-a-5", "no usable tags"] {
        assert!(note.contains(part), "{note}");
    }
}

#[test]
fn uses_the_newest_tags_even_if_they_name_another_workload() {
    let world = World::new();
    add_volume(&world, "moved", 5, &[]);
    add_volume(&world, "moved", 3, &[("recovery:workload", "till")]);
    add_untagged(&world, "moved", 1, &[]);
    add_volume(&world, "joined", 5, &[("recovery:workload", "till")]);
    add_volume(&world, "joined", 3, &[]);
    add_untagged(&world, "joined", 1, &[]);
    add_volume(&world, "left", 5, &[]);
    add_volume(&world, "left", 1, &[("recovery:workload", "till")]);
    let plan = kept(&world, &planned(&world, &recover()));
    let resources: Vec<_> = items(&plan).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(resources, ["vol-joined"]);
    assert!(plan.refusals.is_empty());
}

#[test]
fn does_not_mix_targets_of_two_points() {
    let world = World::new();
    add_volume(&world, "a", 5, &[("recovery:device", "/dev/sdg")]);
    let own = [
        ("recovery:stack", "store"),
        ("recovery:logical-id", "Database"),
    ];
    add_untagged(&world, "a", 1, &own);
    add_volume(&world, "b", 5, &[]);
    add_untagged(&world, "b", 1, &own[..1]);
    let plan = kept(&world, &planned(&world, &recover()));
    let item = plan.items().next().unwrap();
    assert_eq!(item.target.stack(), Some("store"));
    assert_eq!(item.target.volume().unwrap().logical_id, "Database");
    assert_eq!(item.target.volume().unwrap().device, None);
    assert_eq!(reasons(&plan), owned([("vol-b", "tag-missing")]));
}

#[test]
fn refuses_resources_that_cannot_be_identified() {
    // Its tags are on an older point than the planner reads.
    let world = World::new();
    add_volume(&world, "good", 1, &[]);
    add_volume(&world, "deep", 500, &[]);
    for hours in 0..150 {
        add_untagged(&world, "deep", hours, &[]);
    }
    let plan = kept(&world, &planned(&world, &recover()));
    assert_eq!(plan.totals.items, 1);
    assert_eq!(reasons(&plan), owned([("vol-deep", "tags-unread")]));
    let why = &plan.refusals[0].why;
    assert!(why.contains("newest 100 recovery points"), "{why}");
    // The search costs one more listing and one more call.
    let calls = |operation: &str| {
        let calls = world.calls();
        calls
            .iter()
            .filter(|call| call.starts_with(operation))
            .count()
    };
    assert_eq!(calls("backup:ListRecoveryPointsByBackupVault"), 2);
    assert_eq!(calls("ec2:DescribeTags"), 2);

    // The tags of an older point cannot be read.
    let world = World::new();
    add_volume(&world, "good", 1, &[]);
    let held = |hours: i64| RecoveryPoint {
        arn: RecoveryPointArn::parse(&format!(
            "arn:aws:backup:us-west-2:1:recovery-point:{hours}"
        ))
        .unwrap(),
        ..volume_point("held", "held", hours_ago(hours)).unwrap()
    };
    add(&world, held(1), Tags::new());
    add(&world, held(2), tags(&[]));
    world.pass("backup:ListTags");
    world.fail("backup:ListTags", Failure::Denied);
    let plan = kept(&world, &planned(&world, &recover()));
    assert_eq!(reasons(&plan), owned([("vol-held", "tags-unread")]));
    // They can be read.
    world.state().backups.objects.clear();
    let plan = kept(&world, &planned(&world, &recover()));
    assert_eq!(plan.totals.items, 2);
    assert!(plan.refusals.is_empty());
}

#[test]
fn refuses_both_volumes_that_claim_one_device() {
    let world = World::new();
    add_volume(&world, "root", 1, &[("recovery:device", "/dev/sdf")]);
    add_volume(&world, "data", 1, &[("recovery:device", "/dev/xvdf")]);
    // Another target, another device name and no device name do not conflict.
    add_volume(
        &world,
        "other",
        1,
        &[
            ("recovery:device", "/dev/sdf"),
            ("recovery:logical-id", "Database"),
        ],
    );
    add_volume(&world, "next", 1, &[("recovery:device", "/dev/sdg")]);
    add_volume(&world, "free", 1, &[]);
    let outcome = planned(&world, &recover());
    let plan = kept(&world, &outcome);
    assert_eq!(
        reasons(&plan),
        owned([
            ("vol-data", "device-claimed-twice"),
            ("vol-root", "device-claimed-twice")
        ])
    );
    assert!(plan.refusals[0].why.contains("volume/vol-root"));
    assert!(plan.refusals[1].why.contains("volume/vol-data"));
    assert!(plan.refusals[0].remedy.contains("recovery:device"));
    let resources: Vec<_> = items(&plan).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(resources, ["vol-free", "vol-next", "vol-other"]);
    // A volume without a device name reserves those of the others.
    let reserved: Vec<_> = plan
        .items()
        .map(|it| it.target.volume().unwrap().reserved.len())
        .collect();
    assert_eq!(reserved, [3, 0, 0]);
    assert_eq!(outcome.kind(), "planned");
    assert_eq!(outcome.member("summary").unwrap()["refusals"], 2);
}

#[test]
fn restores_the_volume_that_replaced_another() {
    let device = [("recovery:device", "/dev/sdf")];
    let at = |hours: &[(&str, i64)], input: &Value| {
        let world = World::new();
        for (volume, hours) in hours {
            add_volume(&world, volume, *hours, &device);
        }
        kept(&world, &planned(&world, input))
    };
    let old_and_new = [("old", 72), ("old", 48), ("new", 24), ("new", 1)];
    let plan = at(&old_and_new, &recover());
    let restored = |plan: &Plan| -> Vec<String> {
        items(plan).into_iter().map(|(_, point, _)| point).collect()
    };
    assert_eq!(restored(&plan), ["snap-new-1"]);
    assert_eq!(reasons(&plan), owned([("vol-old", "replaced")]));
    assert!(plan.refusals[0].why.contains("volume/vol-new"));
    assert!(plan.refusals[0].remedy.contains("acceptRefusals"));

    // Before the replacement, only the old volume has recovery points.
    let before = json!({"workload": "shop", "mode": "recover", "restoreTo": hours_ago(36)});
    let plan = at(&old_and_new, &before);
    assert_eq!(restored(&plan), ["snap-old-48"]);
    assert_eq!(reasons(&plan), owned([("vol-new", "later-than-asked")]));

    // A volume that was replaced twice.
    let plan = at(&[("a", 72), ("b", 48), ("c", 24), ("c", 1)], &recover());
    assert_eq!(restored(&plan), ["snap-c-1"]);
    assert_eq!(
        reasons(&plan),
        owned([("vol-a", "replaced"), ("vol-b", "replaced")])
    );

    // One backup of each says nothing, whether seconds or a day apart.
    for new in [72, 24] {
        let plan = at(&[("old", 72), ("new", new)], &recover());
        assert_eq!(plan.totals.items, 0);
    }
    // The copy of the old volume may still be on its way.
    let plan = at(&[("old", 25), ("new", 25), ("new", 1)], &recover());
    assert_eq!(plan.totals.items, 0);

    // Both were backed up at the same time, if only once.
    let plan = at(
        &[("old", 72), ("old", 24), ("new", 24), ("new", 1)],
        &recover(),
    );
    assert_eq!(restored(&plan), [""; 0]);
    assert_eq!(
        reasons(&plan),
        owned([
            ("vol-new", "device-claimed-twice"),
            ("vol-old", "device-claimed-twice")
        ])
    );

    // The newest recovery point of the old volume is unusable, and shows that it still exists.
    let world = World::new();
    add_volume(&world, "old", 48, &device);
    add_volume(&world, "new", 24, &device);
    let point = RecoveryPoint {
        status: "PARTIAL".to_owned(),
        ..volume_point("old", "old-1", hours_ago(1)).unwrap()
    };
    world.add_point(point, &device);
    let plan = kept(&world, &planned(&world, &recover()));
    assert_eq!(plan.totals.items, 0);
}

#[test]
fn refuses_root_volumes() {
    let world = World::new();
    add_volume(&world, "data", 1, &[("recovery:device", "/dev/sdf")]);
    add_volume(&world, "linux", 1, &[("recovery:device", "/dev/xvda")]);
    add_volume(&world, "windows", 1, &[("recovery:device", "/dev/sda1")]);
    let plan = kept(&world, &planned(&world, &recover()));
    assert_eq!(plan.totals.items, 1);
    assert_eq!(
        reasons(&plan),
        owned([("vol-linux", "root-volume"), ("vol-windows", "root-volume")])
    );
    assert!(plan.refusals[0].remedy.contains("root volume"));
}

#[test]
fn refuses_volumes_that_the_stack_owns_with_a_remedy() {
    let own = [
        ("aws:cloudformation:stack-name", "shop"),
        ("aws:cloudformation:logical-id", "Data"),
    ];
    let resource = |kind: &str| StackResource {
        resource_type: kind.to_owned(),
        physical_id: Some("vol-empty".to_owned()),
        status: "CREATE_COMPLETE".into(),
    };
    let plan_with = |made: Option<&str>, input: &Value| {
        let world = World::new();
        add_volume(&world, "data", 1, &own);
        add_volume(&world, "other", 1, &[]);
        if let Some(kind) = made {
            let mut state = world.state();
            for stack in ["shop", "shop-drill"] {
                let key = (stack.to_owned(), "Data".to_owned());
                state.stack_resources.insert(key, resource(kind));
            }
        }
        kept(&world, &planned(&world, input))
    };
    let drill = json!({"workload": "shop", "mode": "drill", "stack": "shop-drill"});
    for (input, stack) in [
        (recover(), "stack shop creates"),
        (drill, "stack shop-drill creates"),
    ] {
        let plan = plan_with(Some("AWS::EC2::Volume"), &input);
        assert_eq!(reasons(&plan), owned([("vol-data", "stack-volume")]));
        assert!(
            plan.refusals[0].why.contains(stack),
            "{}",
            plan.refusals[0].why
        );
        assert!(plan.refusals[0].remedy.contains("conditional"));
        assert_eq!(plan.totals.items, 1);
    }
    // If the volume is conditional on the Region, or the stack is not deployed yet, the stack has no
    // such volume here.
    assert_eq!(plan_with(None, &recover()).totals.items, 2);
    assert_eq!(
        plan_with(Some("AWS::EC2::Instance"), &recover())
            .totals
            .items,
        2
    );
}

#[test]
fn refuses_unknown_workloads_and_stores_nothing() {
    let world = World::new();
    add_volume(&world, "other", 1, &[("recovery:workload", "till")]);
    let outcome = planned(&world, &recover());
    assert_eq!(outcome.reason(), Some("unknown-workload"));
    assert!(outcome.id("remedy").unwrap().contains("recovery:workload"));
    assert!(world.state().backups.objects.is_empty());
    let outcome = planned(&World::new(), &recover());
    assert_eq!(outcome.reason(), Some("unknown-workload"));
}

#[test]
fn refuses_a_changed_plan_and_names_the_changes() {
    let world = World::new();
    add_volume(&world, "a", 5, &[]);
    add_volume(&world, "b", 5, &[]);
    add_volume(&world, "c", 5, &[]);
    let hash = planned(&world, &recover())
        .id("planHash")
        .unwrap()
        .to_owned();
    let with_hash = |hash: &str| json!({"workload": "shop", "mode": "recover", "planHash": hash});
    // The same world later: ages differ, the planned actions do not.
    let clock = FakeClock::new();
    run(clock.sleep(Duration::from_secs(60)));
    let again = run(handle(&world, &clock, &config(), &with_hash(&hash))).unwrap();
    assert_eq!(
        (again.kind(), again.id("planHash")),
        ("planned", Some(hash.as_str()))
    );

    add_volume(&world, "a", 1, &[]);
    add_volume(&world, "d", 1, &[]);
    {
        let mut state = world.state();
        state
            .backups
            .points
            .retain(|point| !point.resource.as_str().ends_with("vol-c"));
        let tags = state
            .tags
            .get_mut("arn:aws:ec2:us-west-2::snapshot/snap-b-5")
            .unwrap();
        tags.insert("recovery:wave".to_owned(), "2".to_owned());
        tags.insert("recovery:device".to_owned(), "/dev/sdg".to_owned());
    }
    let refused = planned(&world, &with_hash(&hash));
    assert_eq!(refused.reason(), Some("plan-changed"));
    let volume = |name: &str| format!("arn:aws:ec2:us-east-1:111122223333:volume/vol-{name}");
    assert_eq!(
        refused.member("changes").unwrap(),
        &json!({"count": 4, "modeDiffers": false, "named": [
            {"resourceArn": volume("a"), "change": "changed", "what": ["recovery-point"]},
            {"resourceArn": volume("b"), "change": "changed", "what": ["wave", "target"]},
            {"resourceArn": volume("c"), "change": "removed"},
            {"resourceArn": volume("d"), "change": "added"},
        ]})
    );
    // With the current hash, it is planned.
    let now = refused.id("planHash").unwrap().to_owned();
    assert_ne!(now, hash);
    assert_eq!(planned(&world, &with_hash(&now)).kind(), "planned");
    // A plan that is not stored is refused without a list of changes.
    let unknown = planned(&world, &with_hash(&"0".repeat(64)));
    assert_eq!(unknown.reason(), Some("plan-changed"));
    assert!(unknown.member("changes").is_none());
}

#[test]
fn drill_plans_need_a_separate_stack_and_have_another_hash() {
    let world = World::new();
    add_volume(&world, "a", 1, &[]);
    let drill = |stack: &str| json!({"workload": "shop", "mode": "drill", "stack": stack});
    let real = planned(&world, &recover());
    let outcome = planned(&world, &drill("shop-drill"));
    let plan = kept(&world, &outcome);
    assert_eq!(
        plan.items().next().unwrap().target.stack(),
        Some("shop-drill")
    );
    // Created from the template of the stack that the tags name.
    let stacks = json!([{"stack": "shop-drill", "template": "shop"}]);
    assert_eq!(outcome.member("stacks"), Some(&stacks));
    assert_eq!(json!(plan.stacks), stacks);
    assert_ne!(outcome.id("planHash"), real.id("planHash"));
    assert_eq!(
        planned(&world, &drill("shop")).reason(),
        Some("drill-target")
    );
    add_volume(&world, "b", 1, &[("recovery:stack", "store")]);
    assert_eq!(
        planned(&world, &drill("shop-drill")).reason(),
        Some("several-stacks")
    );
    assert_eq!(planned(&world, &recover()).kind(), "planned");
}

#[test]
fn lists_each_stack_of_a_plan_once_in_order() {
    let world = World::new();
    for (volume, stack) in [("a", "web"), ("b", "shop"), ("c", "web"), ("d", "data")] {
        add_volume(&world, volume, 1, &[("recovery:stack", stack)]);
    }
    let outcome = planned(&world, &recover());
    let same = |stack: &str| json!({"stack": stack, "template": stack});
    let stacks = json!([same("data"), same("shop"), same("web")]);
    assert_eq!(outcome.member("stacks"), Some(&stacks));
    let plan = kept(&world, &outcome);
    assert_eq!(json!(plan.stacks), stacks);
    // An older plan without `stacks` can still be read and compared.
    let key = outcome.id("planKey").unwrap().to_owned();
    let mut older = json!(plan);
    older.as_object_mut().unwrap().remove("stacks");
    assert!(
        serde_json::from_value::<Plan>(older.clone())
            .unwrap()
            .stacks
            .is_empty()
    );
    world.state().backups.objects.insert(key, older.to_string());
    add_volume(&world, "e", 1, &[("recovery:stack", "web")]);
    let changed = planned(
        &world,
        &json!({"workload": "shop", "mode": "recover", "planHash": plan.hash}),
    );
    assert_eq!(changed.reason(), Some("plan-changed"));
    assert_eq!(changed.member("changes").unwrap()["count"], 1);
    assert_eq!(changed.member("stacks"), Some(&stacks));
}

#[test]
fn records_existing_targets_without_changing_the_hash() {
    let world = World::new();
    add_volume(&world, "a", 1, &[]);
    add_volume(&world, "b", 1, &[]);
    let before = planned(&world, &recover());
    assert!(
        kept(&world, &before)
            .items()
            .all(|item| item.metadata.is_empty())
    );
    let stack_resource = |kind: &str| StackResource {
        resource_type: kind.to_owned(),
        physical_id: Some("i-1".to_owned()),
        status: "CREATE_COMPLETE".into(),
    };
    let key = || ("shop".to_owned(), "Server".to_owned());
    {
        let mut state = world.state();
        state.backups.objects.clear();
        state
            .stack_resources
            .insert(key(), stack_resource("AWS::EC2::Instance"));
        state.instances.insert(
            InstanceId::new("i-1"),
            Instance {
                id: InstanceId::new("i-1"),
                state: "running".into(),
                zone: "us-west-2c".to_owned(),
                devices: Vec::new(),
            },
        );
    }
    let after = planned(&world, &recover());
    assert_eq!(after.id("planHash"), before.id("planHash"));
    for item in kept(&world, &after).items() {
        assert_eq!(item.metadata["availabilityZone"], "us-west-2c");
    }
    // Two volumes of one target need one read.
    let looks = world
        .calls()
        .iter()
        .filter(|call| call.starts_with("ec2:DescribeInstances"))
        .count();
    assert_eq!(looks, 1);
    world
        .state()
        .stack_resources
        .insert(key(), stack_resource("AWS::S3::Bucket"));
    world.state().backups.objects.clear();
    let problem = kept(&world, &planned(&world, &recover()));
    let item = problem.items().next().unwrap();
    assert!(item.problem.as_deref().unwrap().contains("AWS::S3::Bucket"));
}

#[test]
fn stores_a_large_plan_only_in_its_object() {
    let world = World::new();
    for volume in 0..400 {
        add_volume(&world, &format!("{volume:03}"), 1, &[]);
    }
    let outcome = planned(&world, &recover());
    assert!(outcome.member("plan").is_none());
    assert!(serde_json::to_string(&outcome).unwrap().len() < 2_000);
    let plan = kept(&world, &outcome);
    assert_eq!(plan.totals.items, 400);
    assert!(serde_json::to_string(&plan).unwrap().len() > INLINE_LIMIT);
}

#[test]
fn makes_one_call_per_page_and_batch_and_stops_before_the_timeout() {
    let world = World::new();
    world.state().backups.page_size = 100;
    for volume in 0..450 {
        for hours in 0..4 {
            add_volume(
                &world,
                &format!("{volume:03}"),
                hours,
                &[("recovery:workload", "till")],
            );
        }
    }
    add_volume(&world, "mine", 1, &[]);
    planned(&world, &recover());
    let calls = world.calls();
    let count = |operation: &str| {
        calls
            .iter()
            .filter(|call| call.starts_with(operation))
            .count()
    };
    assert_eq!(count("backup:ListRecoveryPointsByBackupVault"), 19);
    assert_eq!(
        count("ec2:DescribeTags"),
        451_usize.div_ceil(SNAPSHOTS_AT_ONCE)
    );
    assert_eq!(count("backup:ListTags"), 0);
    assert_eq!(count("s3:PutObject"), 2);
    assert_eq!(count("s3:ListBucket"), 1);
    assert_eq!(calls.len(), 19 + 3 + 1 + 2 + 1, "{calls:#?}");

    let clock = FakeClock::with_budget(Duration::from_secs(40));
    let error = run(handle(&world, &clock, &config(), &recover())).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert!(error.to_string().contains("time"), "{error}");
}

/// A recovery point of one of six volumes, in any state and with any tags.
fn any_point() -> impl Strategy<Value = (RecoveryPoint, Tags)> {
    let status = prop::sample::select(vec![
        "COMPLETED",
        "COMPLETED",
        "COMPLETED",
        "AVAILABLE",
        "PARTIAL",
        "EXPIRED",
        "DELETING",
        "?",
        "",
    ]);
    let kind = prop::sample::select(vec!["EBS", "EBS", "EBS", "EFS", "RDS", ""]);
    let rarely = || prop::bool::weighted(0.15);
    (
        (0..6_u8, 0..4_u8, 0..48_i64),
        (status, kind),
        (
            rarely(),
            rarely(),
            rarely(),
            prop::option::weighted(0.3, (-24..24_i64, any::<bool>())),
        ),
        (
            prop::sample::select(vec!["shop", "shop", "till", "", "", ""]),
            prop::sample::select(vec!["", "0", "3", "9", "ten"]),
            prop::sample::select(vec!["shop", "shop", "store", "9", ""]),
            prop::sample::select(vec!["Server", "Server", ""]),
        ),
        prop::option::of(0..1_u64 << 40),
    )
        .prop_map(
            |((volume, home, hours), (status, kind), (parent, child, threats, cold), tag, size)| {
                let number = format!("{volume}-{home}-{hours}");
                let arn = match home {
                    0 | 1 => format!("arn:aws:ec2:us-west-2::snapshot/snap-{number}"),
                    2 => format!("arn:aws:backup:us-west-2:1:recovery-point:{number}"),
                    _ => format!("arn:aws:rds:us-west-2:1:snapshot:awsbackup:{number}"),
                };
                let point = RecoveryPoint {
                    arn: RecoveryPointArn::parse(&arn).unwrap(),
                    resource_type: kind.to_owned(),
                    status: status.to_owned(),
                    size_bytes: size,
                    is_parent: parent,
                    is_child: child,
                    threats_found: threats,
                    cold_from: cold.map(|(hours, _)| now() + TimeDelta::hours(hours)),
                    archives: cold.is_some_and(|(_, archives)| archives),
                    ..volume_point(&volume.to_string(), "x", hours_ago(hours)).unwrap()
                };
                let (workload, wave, stack, logical_id) = tag;
                let tags = [
                    ("recovery:workload", workload),
                    ("recovery:wave", wave),
                    ("recovery:stack", stack),
                    ("recovery:logical-id", logical_id),
                ];
                (
                    point,
                    tags.map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .into(),
                )
            },
        )
}

/// Whether a point may be restored, implemented independently of the code under test.
fn may_be_restored(point: &RecoveryPoint, restore_to: DateTime<Utc>) -> bool {
    let sound = point.status == "COMPLETED" || point.status == "AVAILABLE";
    let whole = !(point.is_parent || point.is_child || point.threats_found);
    let volume_that_stays = point.resource_type == "EBS" && !point.archives;
    let warm = volume_that_stays || point.cold_from.is_none_or(|from| from > now());
    sound && whole && warm && point.created <= restore_to
}

fn world_of(points: &[(RecoveryPoint, Tags)], page_size: usize) -> World {
    let world = World::new();
    world.state().backups.page_size = page_size;
    for (point, tags) in points {
        add(&world, point.clone(), tags.clone());
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_satisfies_its_invariants(
        listed in prop::collection::vec(any_point(), 1..60),
        shuffled in Just(()).prop_perturb(|(), mut rng| rng.next_u64()),
        pages in (1..20_usize, 1..20_usize),
        back in 0..48_i64,
    ) {
        // One recovery point has one ARN.
        let listed: BTreeMap<String, _> =
            listed.into_iter().map(|one| (one.0.arn.to_string(), one)).collect();
        let listed: Vec<_> = listed.into_values().collect();
        let restore_to = hours_ago(back);
        let input = json!({
            "workload": "shop", "mode": "recover", "restoreTo": restore_to.to_rfc3339(),
        });
        let world = world_of(&listed, pages.0);
        let outcome = planned(&world, &input);
        let mut order = listed.clone();
        let mut state = shuffled;
        for at in (1..order.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            order.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        let other = world_of(&order, pages.1);
        let again = planned(&other, &input);
        prop_assert_eq!(&again, &outcome, "neither order nor pages matter");

        let pages_listed = world.calls().iter()
            .filter(|call| call.starts_with("backup:ListRecoveryPoints")).count();
        let pages_there = listed.len().div_ceil(pages.0);
        prop_assert!(
            pages_listed == pages_there || pages_listed == 2 * pages_there,
            "{pages_listed} of {pages_there}"
        );
        if outcome.reason() == Some("unknown-workload") {
            return Ok(());
        }
        let plan = kept(&world, &outcome);

        // Each resource occurs once, as an item or as a refusal.
        let all: Vec<&str> = plan.items().map(|item| item.resource_arn.as_str())
            .chain(plan.refusals.iter().map(|refused| refused.resource_arn.as_str())).collect();
        let distinct: BTreeSet<&str> = all.iter().copied().collect();
        prop_assert_eq!(all.len(), distinct.len());

        for item in plan.items() {
            let (point, tags) = listed.iter()
                .find(|(point, _)| point.arn.as_str() == item.recovery_point_arn).unwrap();
            prop_assert!(may_be_restored(point, restore_to), "{:?}", point);
            let identified = item.tags_from.as_ref()
                .map_or(&item.recovery_point_arn, |from| &from.recovery_point_arn);
            let (_, identifying) = listed.iter()
                .find(|(point, _)| point.arn.as_str() == identified).unwrap();
            prop_assert_eq!(&identifying["recovery:workload"], "shop");
            prop_assert_eq!(item.tags_from.is_some(), tags["recovery:workload"].is_empty());
            prop_assert_eq!(point.resource.as_str(), &item.resource_arn);
            for (rival, _) in &listed {
                prop_assert!(
                    rival.resource != point.resource
                        || rival.created <= point.created
                        || !may_be_restored(rival, restore_to),
                    "{:?} is newer than {:?}", rival, point
                );
            }
            prop_assert_eq!(item.age_seconds, (now() - point.created).num_seconds());
        }
        let waves: Vec<u8> = plan.waves.iter().map(|wave| wave.wave).collect();
        prop_assert!(waves.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", waves);
        for wave in &plan.waves {
            prop_assert!(!wave.items.is_empty());
            prop_assert!(wave.items.iter().all(|item| item.wave == wave.wave));
            prop_assert!(wave.items.is_sorted_by_key(|item| &item.resource_arn));
        }
        prop_assert_eq!(plan.totals.items, plan.items().count());
        prop_assert_eq!(plan.totals.refusals, plan.refusals.len());

        // A resource with a point of the workload is never left out, unless another of its points names
        // another workload.
        for (point, _) in &listed {
            let named = |workload: &str| listed.iter().any(|(other, tags)| {
                other.resource == point.resource && tags["recovery:workload"] == workload
            });
            let left_out = !distinct.contains(point.resource.as_str());
            prop_assert!(!left_out || !named("shop") || named("till"), "{}", point.resource);
        }
    }

    #[test]
    fn keeps_one_candidate_per_resource(
        listed in prop::collection::vec(any_point(), 0..200),
    ) {
        let mut candidates = Candidates::new(None, now());
        let mut resources = BTreeSet::new();
        for (number, (point, _)) in listed.into_iter().enumerate() {
            resources.insert(point.resource.clone());
            candidates.add(point);
            prop_assert_eq!(candidates.kept(), resources.len());
            prop_assert_eq!(candidates.seen(), number + 1);
        }
    }

    #[test]
    fn hash_changes_exactly_with_the_planned_actions(
        volumes in prop::collection::btree_set(0..20_u8, 2..8),
        chosen in any::<prop::sample::Index>(),
        change in 0..8_usize,
    ) {
        let world = |changed: bool| {
            let world = World::new();
            let chosen = chosen.index(volumes.len());
            for (number, volume) in volumes.iter().enumerate() {
                let name = volume.to_string();
                let extra: &[(&str, &str)] = match change {
                    _ if !changed || number != chosen => &[],
                    0 => &[("recovery:wave", "4")],
                    1 => &[("recovery:stack", "store")],
                    2 => &[("recovery:logical-id", "Database")],
                    3 => &[("recovery:device", "/dev/sdg")],
                    4 => &[("recovery:mount", "/srv")],
                    5 => {
                        add_volume(&world, &name, 1, &[]);
                        &[]
                    }
                    6 => continue,
                    // Not a planned action.
                    _ => &[("Name", "data"), ("recovery:wave", "0")],
                };
                add_volume(&world, &name, 2, extra);
            }
            world
        };
        let hash = |changed| planned(&world(changed), &recover()).id("planHash").unwrap().to_owned();
        prop_assert_eq!(hash(false) == hash(true), change == 7);
    }
}

/// Stores the report of an execution that began then, with these volumes integrated or not integrated.
fn report(
    world: &World,
    execution: &str,
    mode: &str,
    began: DateTime<Utc>,
    items: &[(&str, bool)],
) {
    let items: Vec<Value> = items
        .iter()
        .map(|(volume, integrated)| {
            json!({
                "resourceArn": format!("arn:aws:ec2:us-east-1:111122223333:volume/vol-{volume}"),
                "integrated": integrated,
            })
        })
        .collect();
    let report = json!({
        "version": 1, "workload": "shop", "mode": mode, "items": items,
        "execution": {"arn": "arn:aws:states:x", "name": execution, "startedAt": began},
    });
    let mut state = world.state();
    let objects = &mut state.backups.objects;
    objects.insert(
        format!("reports/shop/{execution}/0.json"),
        report.to_string(),
    );
    objects.insert(format!("reports/shop/{execution}/0.html"), "<p>".to_owned());
}

/// A vault with recovery points of the volume `a` from 20 hours ago and from 2 hours ago.
fn failed_back() -> World {
    let world = World::new();
    for (snapshot, age) in [("old", 20), ("new", 2)] {
        let point = volume_point("a", snapshot, hours_ago(age)).unwrap();
        add(&world, point, tags(&[]));
    }
    world
}

fn with(mut input: Value, member: &str, moment: DateTime<Utc>) -> Value {
    input[member] = json!(moment);
    input
}

#[test]
fn refuses_points_that_are_newer_than_the_recovery() {
    let world = failed_back();
    report(&world, "shop-1", "recover", hours_ago(10), &[("a", true)]);
    for input in [
        recover(),
        json!({"workload": "shop", "mode": "drill", "stack": "shop-drill"}),
    ] {
        let outcome = planned(&world, &input);
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ("refused", Some("nothing-to-restore"))
        );
        let plan = kept(&world, &outcome);
        let [refused] = plan.refusals.as_slice() else {
            panic!("{:?}", plan.refusals);
        };
        assert_eq!(refused.reason, "newer-than-recovery");
        assert_eq!(
            refused.recovery_point_arn,
            "arn:aws:ec2:us-west-2::snapshot/snap-new"
        );
        assert!(refused.why.contains("shop-1"), "{}", refused.why);
        let at = hours_ago(10).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        for part in [
            format!("\"restoreTo\": \"{at}\""),
            "primarySince".to_owned(),
        ] {
            assert!(refused.remedy.contains(&part), "{}", refused.remedy);
        }
    }
}

#[test]
fn plans_older_points_on_request_and_newer_ones_after_a_fail_back() {
    let world = failed_back();
    report(&world, "shop-1", "recover", hours_ago(10), &[("a", true)]);
    let restored = |input: &Value| {
        let outcome = planned(&world, input);
        let plan = kept(&world, &outcome);
        let mut points = plan.items().map(|item| item.recovery_point_arn.clone());
        points.next()
    };
    let (old, new) = (
        Some("arn:aws:ec2:us-west-2::snapshot/snap-old".to_owned()),
        Some("arn:aws:ec2:us-west-2::snapshot/snap-new".to_owned()),
    );
    assert_eq!(restored(&with(recover(), "restoreTo", hours_ago(10))), old);
    let since = |hours| restored(&with(recover(), "primarySince", hours_ago(hours)));
    assert_eq!(since(10), new);
    assert_eq!(since(2), new);
    // `primarySince` is after the recovery point, or before the recovery.
    assert_eq!(since(1), None);
    assert_eq!(since(11), None);
    // Recorded after a fail back, it applies to every plan.
    let record = json!({"primarySince": hours_ago(5)}).to_string();
    let key = "reports/shop/primary-since.json".to_owned();
    world.state().backups.objects.insert(key, record);
    assert_eq!(restored(&recover()), new);
    // Until the next recovery.
    report(&world, "shop-2", "recover", hours_ago(3), &[("a", true)]);
    assert_eq!(restored(&recover()), None);
}

#[test]
fn compares_points_only_with_the_latest_recovery_of_the_resource() {
    type Arrange = fn(&World);
    let cases: [(&str, Arrange, bool); 8] = [
        ("nothing was ever recovered", |_| (), false),
        (
            "a drill restored it",
            |world| report(world, "drill-1", "drill", hours_ago(10), &[("a", true)]),
            false,
        ),
        (
            "a recovery did not attach it",
            |world| report(world, "shop-1", "recover", hours_ago(10), &[("a", false)]),
            false,
        ),
        (
            "a recovery restored another volume",
            |world| report(world, "shop-1", "recover", hours_ago(10), &[("b", true)]),
            false,
        ),
        (
            "a recovery restored it from this recovery point",
            |world| report(world, "shop-1", "recover", hours_ago(1), &[("a", true)]),
            false,
        ),
        (
            "a later recovery restored it from this recovery point",
            |world| {
                report(world, "shop-2", "recover", hours_ago(10), &[("a", true)]);
                report(world, "shop-1", "recover", hours_ago(1), &[("a", true)]);
            },
            false,
        ),
        (
            "a later recovery restored another volume only",
            |world| {
                report(world, "shop-1", "recover", hours_ago(10), &[("a", true)]);
                report(
                    world,
                    "shop-2",
                    "recover",
                    hours_ago(1),
                    &[("b", true), ("a", false)],
                );
            },
            true,
        ),
        (
            "a recovery of another workload restored it",
            |world| {
                report(world, "shop-1", "recover", hours_ago(10), &[("a", true)]);
                let mut state = world.state();
                let objects = std::mem::take(&mut state.backups.objects);
                state.backups.objects = objects
                    .into_iter()
                    .map(|(key, text)| (key.replace("/shop/", "/shop-2/"), text))
                    .collect();
            },
            false,
        ),
    ];
    for (what, arrange, refused) in cases {
        let world = failed_back();
        arrange(&world);
        // More reports than are read concurrently or fit on a page.
        for n in 0..20 {
            report(
                &world,
                &format!("z-{n}"),
                "drill",
                hours_ago(1),
                &[("a", true)],
            );
        }
        world.state().backups.page_size = 7;
        let plan = kept(&world, &planned(&world, &recover()));
        assert_eq!(plan.refusals.len(), usize::from(refused), "{what}");
    }
}

#[test]
fn returns_an_error_that_names_an_unreadable_report() {
    for text in ["", "{}", "[]", "{\"mode\": \"recover\"}"] {
        for key in [
            "reports/shop/shop-1/0.json",
            "reports/shop/primary-since.json",
        ] {
            let world = failed_back();
            let object = text.to_owned();
            world.state().backups.objects.insert(key.to_owned(), object);
            let error = run(handle(&world, &FakeClock::new(), &config(), &recover())).unwrap_err();
            assert_eq!(error.error_type(), "Permanent");
            assert!(error.to_string().contains(key), "{error}");
        }
    }
    for (operation, failure, kind) in [
        ("s3:ListBucket", Failure::Throttled, "Retryable"),
        ("s3:ListBucket", Failure::Denied, "Permanent"),
        ("s3:GetObject", Failure::Throttled, "Retryable"),
    ] {
        let world = failed_back();
        report(&world, "shop-1", "recover", hours_ago(1), &[("a", true)]);
        world.fail(operation, failure);
        let error = run(handle(&world, &FakeClock::new(), &config(), &recover())).unwrap_err();
        assert_eq!(error.error_type(), kind, "{operation}");
    }
}
