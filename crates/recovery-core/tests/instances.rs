//! Instances that are restored from their images, against the in-memory fakes: plan, start, and integration.

#![expect(
    clippy::unwrap_used,
    reason = "what arranges a test fails it when it cannot"
)]

use std::collections::BTreeMap;

use chrono::TimeDelta;
use futures_util::FutureExt;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn, Scope};
use recovery_core::aws::backup::{Drill, RecoveryPoint, Restore};
use recovery_core::aws::cloudformation::{StackResource, StackState};
use recovery_core::aws::instance::{TargetGroup, TargetHealth, TargetKind};
use recovery_core::error::Error;
use recovery_core::fakes::{
    DRILL_ROLE, Failure, FakeClock, LOAD_BALANCER, RESTORE_ROLE, StoredItem, TARGET_GROUP, World,
    volume_point,
};
use recovery_core::integrate::instance::run::{InstanceConfig, integrate};
use recovery_core::integrate::skip::Ownership;
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;
use recovery_core::plan::run::{PlannerConfig, handle as plan_handle};
use recovery_core::plan::{Plan, Target};
use recovery_core::ports::Clock;
use recovery_core::restore::run::{RestoreConfig, handle};
use serde_json::{Value, json};

const WORKLOAD: (&str, &str) = ("recovery:workload", "shop");
const STACK: (&str, &str) = ("recovery:stack", "shop");
const GROUPS: (&str, &str) = ("recovery:security-groups", "Web");
const TARGETS: (&str, &str) = ("recovery:target-groups", "Group");
const PUBLISH: (&str, &str) = ("recovery:publish", "/recovery/shop/web");
const TAGS: [(&str, &str); 5] = [WORKLOAD, STACK, GROUPS, TARGETS, PUBLISH];
const IMAGE: &str = "arn:aws:ec2:us-west-2::image/ami-1";
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1";

fn add_network(world: &World, stack: &str) {
    let mut state = world.state();
    for (name, resource_type, id) in [
        ("Subnet", "AWS::EC2::Subnet", "subnet-1"),
        ("Web", "AWS::EC2::SecurityGroup", "sg-1"),
        (
            "Group",
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            TARGET_GROUP,
        ),
    ] {
        let resource = StackResource {
            resource_type: resource_type.to_owned(),
            physical_id: Some(id.to_owned()),
            status: "CREATE_COMPLETE".into(),
        };
        let key = (stack.to_owned(), name.to_owned());
        state.stack_resources.insert(key, resource);
    }
}

fn restored(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    add_network(&world, "shop");
    world.add_restored_server(tags);
    world
}

fn deliver_in(world: &World, drill: Option<Drill>) -> Result<Outcome, Error> {
    let config = InstanceConfig {
        ownership: Ownership {
            scope: Scope {
                account: "111122223333".to_owned(),
                region: "us-west-2".to_owned(),
            },
            drill_role: DRILL_ROLE.to_owned(),
        },
        vault: "recovery".to_owned(),
        publish_path: "/recovery/".to_owned(),
    };
    let restore = Restore {
        drill,
        ..Restore::from(world.state().restore_jobs["job-instance"].clone())
    };
    integrate(world, &FakeClock::new(), &config, restore)
        .now_or_never()
        .unwrap()
}

fn deliver(world: &World) -> Result<Outcome, Error> {
    deliver_in(world, None)
}

/// Delivers until the answer is not `pending`.
#[track_caller]
fn to_the_end(world: &World) -> Outcome {
    for _ in 0..20 {
        match deliver(world) {
            Ok(outcome) if outcome.kind() == "pending" => {}
            Err(Error::Retryable(_)) => {}
            answer => return answer.unwrap(),
        }
    }
    panic!("always pending");
}

/// The only OpsItem.
#[track_caller]
fn item(world: &World) -> StoredItem {
    let items = world.state().items.clone();
    assert_eq!(items.len(), 1, "{items:#?}");
    assert_eq!(world.state().problems, Vec::<String>::new());
    items[0].clone()
}

fn parameters(world: &World) -> BTreeMap<String, String> {
    let parameters = world.state().parameters.clone();
    parameters
        .into_iter()
        .map(|(name, parameter)| (name, parameter.value))
        .collect()
}

fn reason(outcome: &Outcome) -> String {
    format!("{}/{}", outcome.kind(), outcome.reason().unwrap_or("-"))
}

fn registrations(world: &World) -> usize {
    let calls = world.calls();
    let registers = calls.iter().filter(|it| it.contains("RegisterTargets"));
    registers.count()
}

#[test]
fn an_instance_is_registered_followed_and_published() {
    let world = restored(&TAGS);
    let first = deliver(&world).unwrap();
    assert_eq!(first.kind(), "pending", "it was just registered");
    assert!(parameters(&world).is_empty(), "nothing answers yet");
    let outcome = to_the_end(&world);
    assert_eq!(outcome.kind(), "integrated");
    assert_eq!(outcome.id("instanceId"), Some("i-1"));
    let published = parameters(&world);
    assert_eq!(published["/recovery/shop/web/id"], "i-1");
    assert_eq!(published["/recovery/shop/web/private-ip"], "10.0.1.7");
    assert!(!published.contains_key("/recovery/shop/web/public-ip"));
    let item = item(&world);
    assert_eq!(item.item.status, Status::Resolved);
    for lost in ["user data", "IPv6 addresses"] {
        assert!(item.description.contains(lost), "{}", item.description);
    }
    assert_eq!(registrations(&world), 1);
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(registrations(&world), 1);
}

#[test]
fn an_owner_can_take_an_integrated_instance_out_of_its_target_group() {
    let world = restored(&TAGS);
    to_the_end(&world);
    world.state().servers.targets.clear();
    assert_eq!(deliver(&world).unwrap().kind(), "already-integrated");
    assert_eq!(registrations(&world), 1);
    // The tags name another one since then.
    let other = TARGET_GROUP.replace("web", "api");
    {
        let mut state = world.state();
        let group = state.servers.target_groups[TARGET_GROUP].clone();
        let group = TargetGroup {
            arn: other.clone(),
            ..group
        };
        state.servers.target_groups.insert(other.clone(), group);
        let shop = |name: &str| ("shop".to_owned(), name.to_owned());
        let resource = StackResource {
            physical_id: Some(other.clone()),
            ..state.stack_resources[&shop("Group")].clone()
        };
        state.stack_resources.insert(shop("Other"), resource);
        let tags = state.tags.values_mut().next().unwrap();
        tags.insert(TARGETS.0.to_owned(), "Group Other".to_owned());
    }
    assert_eq!(to_the_end(&world).kind(), "integrated");
    let targets = world.state().servers.targets.clone();
    assert_eq!(targets.len(), 1);
    assert!(targets.contains_key(&(other, InstanceId::new("i-1"))));
}

#[test]
fn waits_for_checks_and_health() {
    let pending = |world: &World, what: &str| {
        let outcome = deliver(world).unwrap();
        assert_eq!(outcome.kind(), "pending", "{outcome:?}");
        let awaited = outcome.id("waitingFor").unwrap();
        assert!(awaited.contains(what), "{awaited}");
    };
    let world = restored(&TAGS);
    world.state().servers.reads_until_healthy = usize::MAX;
    pending(&world, "to show in");
    pending(&world, "healthy in");
    world.state().servers.reads_until_checked = usize::MAX;
    pending(&world, "status checks");
    let starting = restored(&TAGS);
    starting
        .state()
        .servers
        .servers
        .get_mut(&InstanceId::new("i-1"))
        .unwrap()
        .state = "pending".into();
    pending(&starting, "i-1 (now pending)");
    assert_eq!(registrations(&starting), 0);
    let early = restored(&TAGS);
    early.state().stack_resources.clear();
    pending(&early, "the stack shop to exist");
}

/// Registers the instance, and gives it this health.
fn set_health(world: &World, state: &str, reason: &str, description: &str) {
    let health = TargetHealth {
        state: state.into(),
        reason: Some(reason.to_owned()),
        description: Some(description.to_owned()),
    };
    let target = (TARGET_GROUP.to_owned(), InstanceId::new("i-1"));
    world.state().servers.targets.insert(target, health);
}

fn set_stack(world: &World, status: &str) {
    let state = StackState {
        status: status.to_owned(),
        reason: None,
    };
    let mut world = world.state();
    world.stack_states.insert("shop".to_owned(), state);
}

/// Lets the restore job have ended this many minutes ago.
fn set_age(world: &World, minutes: i64) {
    let mut state = world.state();
    let job = state.restore_jobs.get_mut("job-instance").unwrap();
    job.completed = Some(FakeClock::new().now() - TimeDelta::minutes(minutes));
}

#[test]
fn a_target_without_requests_is_not_integrated() {
    let zone = "Target is in an Availability Zone that is not enabled for the load balancer";
    let world = restored(&TAGS);
    set_health(&world, "unused", "Target.NotInUse", zone);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "pending");
    let awaited = outcome.id("waitingFor").unwrap();
    assert!(awaited.contains(zone), "{awaited}");
    set_age(&world, 15);
    for _ in 0..2 {
        let outcome = deliver(&world).unwrap();
        assert_eq!(reason(&outcome), "refused/target-unused");
    }
    let text = item(&world).description;
    for said in [zone, "us-west-2a", LOAD_BALANCER] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert_eq!(item(&world).item.status, Status::Open);
    assert_eq!(world.state().notifications.len(), 1);
    assert!(parameters(&world).is_empty());
    world.state().servers.complete();
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let unknown = restored(&TAGS);
    set_health(
        &unknown,
        "unavailable",
        "Elb.InternalError",
        "an internal error",
    );
    for minutes in [1, 15] {
        set_age(&unknown, minutes);
        assert_eq!(deliver(&unknown).unwrap().kind(), "pending");
    }
}

#[test]
fn a_target_that_stays_invalid_is_refused() {
    let world = restored(&TAGS);
    world.state().servers.rejects_targets = Some("InvalidTarget");
    set_age(&world, 14);
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "pending");
    let awaited = outcome.id("waitingFor").unwrap();
    let words = "the target group does not take it";
    assert!(awaited.contains(words), "{awaited}");
    set_age(&world, 15);
    for _ in 0..2 {
        let outcome = deliver(&world).unwrap();
        assert_eq!(reason(&outcome), "refused/target-rejected");
    }
    assert!(item(&world).description.contains(words));
    assert_eq!(world.state().notifications.len(), 1);
    world.state().servers.rejects_targets = None;
    assert_eq!(to_the_end(&world).kind(), "integrated");
}

#[test]
fn a_target_group_that_no_load_balancer_uses_is_left_to_the_operator() {
    let world = restored(&TAGS);
    set_health(&world, "unused", "Target.NotInUse", "not configured");
    let mut state = world.state();
    let group = state.servers.target_groups.get_mut(TARGET_GROUP).unwrap();
    group.load_balancers.clear();
    drop(state);
    set_stack(&world, "CREATE_IN_PROGRESS");
    let outcome = deliver(&world).unwrap();
    assert_eq!(outcome.kind(), "pending", "a listener can follow");
    assert!(parameters(&world).is_empty());
    set_stack(&world, "CREATE_COMPLETE");
    assert_eq!(deliver(&world).unwrap().kind(), "integrated");
    let item = item(&world);
    assert_eq!(item.item.status, Status::Open);
    let said = "No load balancer uses the target group";
    assert!(item.description.contains(said), "{}", item.description);
}

#[test]
fn refuses_what_a_person_must_decide() {
    let assert_refused = |world: &World, reason: &str| {
        for _ in 0..2 {
            assert_eq!(to_the_end(world).reason(), Some(reason));
        }
        assert_eq!(item(world).item.status, Status::Open);
        assert_eq!(world.state().notifications.len(), 1);
        assert!(parameters(world).is_empty());
    };
    let set = |state: &str| {
        let world = restored(&TAGS);
        let id = InstanceId::new("i-1");
        let mut held = world.state();
        held.servers.servers.get_mut(&id).unwrap().state = state.into();
        drop(held);
        world
    };
    assert_refused(&set("terminated"), "instance-gone");
    assert_refused(&set("stopped"), "instance-stopped");
    let gone = restored(&TAGS);
    gone.state().servers.servers.clear();
    assert_refused(&gone, "instance-gone");
    let addresses = restored(&TAGS);
    addresses
        .state()
        .servers
        .target_groups
        .get_mut(TARGET_GROUP)
        .unwrap()
        .kind = TargetKind::Ip;
    assert_refused(&addresses, "target-group-unsuitable");
    let rejected = restored(&TAGS);
    rejected.state().servers.rejects_targets = Some("TooManyTargets");
    assert_refused(&rejected, "target-rejected");
    let missing = restored(&TAGS);
    missing.state().servers.target_groups.clear();
    assert_refused(&missing, "target-group-gone");
    assert_refused(&restored(&[WORKLOAD, STACK]), "tag-missing");
    let named = ("recovery:target-groups", "name:web");
    assert_refused(&restored(&[WORKLOAD, STACK, GROUPS, named]), "tag-invalid");
}

#[test]
fn does_not_register_an_instance_beside_that_of_the_stack() {
    let mut tags = TAGS.to_vec();
    tags.push(OWN);
    let world = restored(&tags);
    add_own(&world, CREATED_BY_STACKS[0], "CREATE_COMPLETE");
    assert_eq!(to_the_end(&world).reason(), Some("stack-instance"));
    assert_eq!(registrations(&world), 0);
    assert_eq!(item(&world).item.status, Status::Open);
}

#[test]
fn leaves_alone_what_is_not_the_workloads() {
    let world = restored(&[("Name", "web")]);
    assert_eq!(reason(&deliver(&world).unwrap()), "ignored/untagged");
    let test = restored(&TAGS);
    test.state()
        .servers
        .servers
        .get_mut(&InstanceId::new("i-1"))
        .unwrap()
        .restore_test = true;
    assert_eq!(reason(&deliver(&test).unwrap()), "ignored/restore-test");
    assert_eq!(registrations(&test), 0);
}

#[test]
fn a_drill_registers_with_targets_of_its_own_stack() {
    let drill = |stack: &str| {
        Some(Drill {
            stack: stack.to_owned(),
            name: Some("d-1".to_owned()),
        })
    };
    let world = restored(&TAGS);
    add_network(&world, "shop-drill");
    world
        .state()
        .restore_jobs
        .get_mut("job-instance")
        .unwrap()
        .iam_role = Arn::parse(DRILL_ROLE).ok();
    assert_eq!(reason(&deliver(&world).unwrap()), "ignored/drill");
    assert_eq!(
        reason(&deliver_in(&world, drill("shop")).unwrap()),
        "refused/drill-target"
    );
    deliver_in(&world, drill("shop-drill")).unwrap();
    let outcome = deliver_in(&world, drill("shop-drill")).unwrap();
    assert_eq!(outcome.kind(), "integrated");
    assert!(parameters(&world).contains_key("/recovery/shop/web/drill/d-1/id"));
}

#[test]
fn whatever_call_fails_the_end_is_the_same() {
    let whole = restored(&TAGS);
    to_the_end(&whole);
    for operation in [
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceStatus",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:RegisterTargets",
        "cloudformation:ListStackResources",
        "backup:GetRestoreJobMetadata",
        "ssm:PutParameter",
        "ssm:CreateOpsItem",
    ] {
        for failure in [Failure::Throttled, Failure::AnswerLost] {
            let world = restored(&TAGS);
            world.fail(operation, failure);
            to_the_end(&world);
            assert_eq!(parameters(&world), parameters(&whole), "{operation}");
            assert_eq!(item(&world).title, item(&whole).title, "{operation}");
        }
    }
}

/// The instance `i-0` with these tags, and the volume `vol-0` of its image, which is also backed up by itself.
fn planned_world(tags: &[(&str, &str)]) -> World {
    let world = World::new();
    add_network(&world, "shop");
    world.add_image();
    let created = FakeClock::new().now() - TimeDelta::hours(1);
    let instance = RecoveryPoint {
        arn: RecoveryPointArn::parse(IMAGE).unwrap(),
        resource: Arn::parse("arn:aws:ec2:us-east-1:111122223333:instance/i-0").unwrap(),
        resource_type: "EC2".to_owned(),
        ..volume_point("x", "x", created).unwrap()
    };
    let owned = |tags: &[(&str, &str)]| {
        tags.iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    {
        let mut state = world.state();
        state.tags.insert(IMAGE.to_owned(), owned(tags));
        state.backups.points.push(instance);
        let stored = [
            ("InstanceType", "m7g.large"),
            ("SubnetId", "subnet-primary"),
            ("IamInstanceProfileName", "web"),
        ];
        state
            .backups
            .metadata
            .insert(IMAGE.to_owned(), owned(&stored));
        state.tags.insert(
            "arn:aws:ec2:us-west-2::snapshot/snap-data".to_owned(),
            owned(&[("aws:backup:source-resource", "vol-0:1a2b")]),
        );
    }
    world.add_point(volume_point("0", "0", created).unwrap(), &[]);
    world
}

async fn plan(world: &World) -> Plan {
    let config = PlannerConfig {
        vault: "recovery".to_owned(),
        bucket: "plans".to_owned(),
    };
    let input = json!({"workload": "shop", "mode": "recover"});
    let outcome = plan_handle(world, &FakeClock::new(), &config, &input)
        .await
        .unwrap();
    let key = outcome.id("planKey").unwrap();
    serde_json::from_str(&world.state().backups.objects[key]).unwrap()
}

#[tokio::test]
async fn the_plan_refuses_target_groups_by_name() {
    let named = ("recovery:target-groups", "name:web");
    let world = planned_world(&[WORKLOAD, STACK, GROUPS, named]);
    let created = FakeClock::new().now() - TimeDelta::hours(1);
    world.add_point(volume_point("1", "1", created).unwrap(), &[]);
    let made = plan(&world).await;
    let mut refusals = made.refusals.iter();
    let refused = refusals.find(|it| it.resource_arn.ends_with("instance/i-0"));
    let refused = refused.unwrap();
    assert_eq!(refused.reason, "tag-invalid");
    for said in ["recovery:target-groups", "name:web"] {
        assert!(refused.why.contains(said), "{}", refused.why);
    }
    let remedy = "Correct the tag of the recovery point";
    assert!(refused.remedy.contains(remedy), "{}", refused.remedy);
}

#[tokio::test]
async fn a_volume_of_the_image_is_restored_once() {
    let world = planned_world(&[WORKLOAD, STACK, GROUPS, TARGETS]);
    let made = plan(&world).await;
    assert_eq!(made.totals.items, 1);
    let item = made.items().next().unwrap();
    assert!(matches!(item.target, Target::Instance(_)), "{item:?}");
    let [refused] = made.refusals.as_slice() else {
        panic!("{:?}", made.refusals);
    };
    assert_eq!(refused.reason, "volume-in-image");
    assert!(refused.resource_arn.ends_with("volume/vol-0"));
    assert!(refused.why.contains("i-0"), "{}", refused.why);
    // Without the instance, the volume is restored.
    let alone = planned_world(&[("recovery:workload", "till")]);
    let made = plan(&alone).await;
    assert_eq!(made.totals.items, 1);
    assert!(made.refusals.is_empty(), "{:?}", made.refusals);
}

/// Lets the stack create the instance under this logical id, and gives it as CloudFormation's tag of the source.
fn add_own(world: &World, resource_type: &str, status: &str) {
    let resource = StackResource {
        resource_type: resource_type.to_owned(),
        physical_id: Some("i-7".to_owned()),
        status: status.into(),
    };
    let key = ("shop".to_owned(), "Server".to_owned());
    world.state().stack_resources.insert(key, resource);
}

const OWN: (&str, &str) = ("aws:cloudformation:logical-id", "Server");
const CREATED_BY_STACKS: [&str; 2] = ["AWS::EC2::Instance", "AWS::AutoScaling::AutoScalingGroup"];

#[tokio::test]
async fn the_plan_refuses_an_instance_that_the_stack_creates_itself() {
    for (resource_type, status, is_refused) in [
        (CREATED_BY_STACKS[0], "CREATE_COMPLETE", true),
        (CREATED_BY_STACKS[1], "CREATE_IN_PROGRESS", true),
        (CREATED_BY_STACKS[0], "DELETE_COMPLETE", false),
        ("AWS::EC2::Subnet", "CREATE_COMPLETE", false),
    ] {
        let world = planned_world(&[WORKLOAD, STACK, GROUPS, OWN]);
        add_own(&world, resource_type, status);
        let plan = plan(&world).await;
        let refused = plan
            .refusals
            .iter()
            .find(|it| it.reason == "stack-instance");
        assert_eq!(refused.is_some(), is_refused, "{:?}", plan.refusals);
        if let Some(refused) = refused {
            assert!(refused.why.contains("Server"), "{}", refused.why);
            assert!(refused.remedy.contains("recovery:workload"));
        }
    }
}

#[tokio::test]
async fn an_image_that_is_older_than_its_volume_does_not_replace_it_silently() {
    for (minutes, reason) in [
        (60, "volume-in-image"),
        (61, "volume-newer-than-image"),
        (43_200, "volume-newer-than-image"),
    ] {
        let world = planned_world(&[WORKLOAD, STACK, GROUPS, TARGETS]);
        for point in &mut world.state().backups.points {
            if point.resource_type == "EC2" {
                point.created -= TimeDelta::minutes(minutes);
            }
        }
        let made = plan(&world).await;
        let [refused] = made.refusals.as_slice() else {
            panic!("{:?}", made.refusals);
        };
        assert_eq!(refused.reason, reason, "{minutes} minutes");
        assert!(refused.resource_arn.ends_with("volume/vol-0"));
    }
}

#[tokio::test]
async fn a_volume_is_restored_by_itself_if_its_instance_is_refused() {
    let world = planned_world(&[WORKLOAD, STACK, GROUPS, PUBLISH]);
    // Another instance publishes below the same path: both are refused.
    let another = RecoveryPoint {
        arn: RecoveryPointArn::parse("arn:aws:ec2:us-west-2::image/ami-2").unwrap(),
        resource: Arn::parse("arn:aws:ec2:us-east-1:111122223333:instance/i-2").unwrap(),
        resource_type: "EC2".to_owned(),
        ..volume_point("x", "x", FakeClock::new().now() - TimeDelta::hours(1)).unwrap()
    };
    {
        let mut state = world.state();
        let tags = state.tags[IMAGE].clone();
        state.tags.insert(another.arn.to_string(), tags);
        state.backups.points.push(another);
    }
    let made = plan(&world).await;
    let kept: Vec<&str> = made.items().map(|it| it.resource_arn.as_str()).collect();
    assert_eq!(
        kept,
        ["arn:aws:ec2:us-east-1:111122223333:volume/vol-0"],
        "{:?}",
        made.refusals
    );
    assert!(
        made.refusals
            .iter()
            .all(|it| it.reason == "publish-claimed-twice"),
        "{:?}",
        made.refusals
    );
}

#[tokio::test]
async fn the_volumes_of_every_image_are_known() {
    let world = planned_world(&[WORKLOAD, STACK, GROUPS]);
    let created = FakeClock::new().now() - TimeDelta::hours(1);
    {
        let mut state = world.state();
        let tags = state.tags[IMAGE].clone();
        let image = state.servers.images["ami-1"].clone();
        for n in 2..=120 {
            let arn = format!("arn:aws:ec2:us-west-2::image/ami-{n}");
            let instance = format!("arn:aws:ec2:us-east-1:111122223333:instance/i-{n}");
            let mut image = image.clone();
            image.devices.truncate(1);
            image.devices[0].snapshot = format!("snap-of-{n}");
            state.servers.images.insert(format!("ami-{n}"), image);
            let snapshot = format!("arn:aws:ec2:us-west-2::snapshot/snap-of-{n}");
            let source = ("aws:backup:source-resource", format!("vol-{n}:1a2b"));
            state
                .tags
                .insert(snapshot, [(source.0.to_owned(), source.1)].into());
            state.tags.insert(arn.clone(), tags.clone());
            state.backups.points.push(RecoveryPoint {
                arn: RecoveryPointArn::parse(&arn).unwrap(),
                resource: Arn::parse(&instance).unwrap(),
                resource_type: "EC2".to_owned(),
                ..volume_point("x", "x", created).unwrap()
            });
        }
    }
    for n in 2..=120 {
        let number = n.to_string();
        world.add_point(volume_point(&number, &number, created).unwrap(), &[]);
    }
    let made = plan(&world).await;
    assert_eq!((made.totals.items, made.totals.refusals), (120, 120));
    assert!(
        made.refusals
            .iter()
            .all(|it| it.reason == "volume-in-image"),
        "{:?}",
        made.refusals
    );
}

#[test]
fn a_lost_instance_profile_is_named_and_the_item_stays_open() {
    let without = |had: Option<&str>| {
        let world = restored(&TAGS);
        let mut state = world.state();
        let id = InstanceId::new("i-1");
        state.servers.servers.get_mut(&id).unwrap().has_profile = false;
        let had = had.map(|name| ("IamInstanceProfileName".to_owned(), name.to_owned()));
        let metadata = had.into_iter().collect();
        state.backups.points.push(RecoveryPoint {
            arn: RecoveryPointArn::parse(IMAGE).unwrap(),
            resource_type: "EC2".to_owned(),
            ..volume_point("x", "x", FakeClock::new().now()).unwrap()
        });
        state.backups.metadata.insert(IMAGE.to_owned(), metadata);
        drop(state);
        world
    };
    let world = without(Some("web"));
    assert_eq!(to_the_end(&world).kind(), "integrated");
    assert_eq!(item(&world).item.status, Status::Open);
    let says = item(&world).description;
    assert!(says.contains("--iam-instance-profile Name=web"), "{says}");
    assert!(says.contains("RestoredInstanceRoleArns"), "{says}");
    // One that had none lacks none.
    let world = without(None);
    to_the_end(&world);
    assert_eq!(item(&world).item.status, Status::Resolved);
    // Whether it had one cannot be read.
    let world = without(None);
    world.state().backups.points.clear();
    to_the_end(&world);
    assert_eq!(item(&world).item.status, Status::Open);
    let world = without(None);
    world.fail("backup:GetRecoveryPointRestoreMetadata", Failure::Denied);
    to_the_end(&world);
    assert_eq!(item(&world).item.status, Status::Open);
}

#[tokio::test]
async fn the_instance_of_a_drill_has_no_profile_and_leaves_no_volume() {
    for key in [Some(KEY.to_owned()), None] {
        let world = planned_world(&[WORKLOAD, STACK, GROUPS]);
        for device in &mut world
            .state()
            .servers
            .images
            .get_mut("ami-1")
            .unwrap()
            .devices
        {
            device.delete_on_termination = false;
        }
        let mut input = input(&world).await;
        input["mode"] = json!("drill");
        let outcome = start_with(&world, &input, true, key).await;
        assert_eq!(outcome.kind(), "started", "{outcome:?}");
        let (request, _) = world.state().backups.started[0].clone();
        assert!(!request.metadata.contains_key("IamInstanceProfileName"));
        let devices: Value =
            serde_json::from_str(&request.metadata["BlockDeviceMappings"]).unwrap();
        let devices = devices.as_array().unwrap();
        assert_eq!(devices.len(), 2);
        for device in devices {
            assert_eq!(device["Ebs"]["DeleteOnTermination"], true, "{device}");
        }
    }
}

#[tokio::test]
async fn does_not_start_an_instance_that_the_stack_created_after_the_plan() {
    for resource_type in CREATED_BY_STACKS {
        let world = planned_world(&[WORKLOAD, STACK, GROUPS, OWN]);
        let input = input(&world).await;
        add_own(&world, resource_type, "CREATE_IN_PROGRESS");
        let outcome = start(&world, &input, true).await;
        assert_eq!(outcome.reason(), Some("stack-instance"), "{outcome:?}");
        assert!(world.state().backups.started.is_empty());
    }
}

async fn start(world: &World, input: &Value, with_profiles: bool) -> Outcome {
    start_with(world, input, with_profiles, Some(KEY.to_owned())).await
}

async fn start_with(
    world: &World,
    input: &Value,
    with_profiles: bool,
    key: Option<String>,
) -> Outcome {
    let config = RestoreConfig {
        vault: "recovery".to_owned(),
        role: RESTORE_ROLE.to_owned(),
        drill_role: DRILL_ROLE.to_owned(),
        key,
        instance_profiles: with_profiles,
        region: "us-west-2".to_owned(),
    };
    handle(world, &config, input).await.unwrap()
}

async fn input(world: &World) -> Value {
    let plan = plan(world).await;
    let item = plan.items().next().unwrap();
    json!({
        "planHash": plan.hash,
        "mode": "recover",
        "item": item,
        "execution": {"name": "shop-1", "startedAt": "2026-11-23T05:55:00Z"},
    })
}

#[tokio::test]
async fn starts_in_the_subnet_of_the_stack_with_encrypted_volumes() {
    for with_profiles in [true, false] {
        let world = planned_world(&[WORKLOAD, STACK, GROUPS]);
        let outcome = start(&world, &input(&world).await, with_profiles).await;
        assert_eq!(outcome.kind(), "started", "{outcome:?}");
        let (request, _) = world.state().backups.started[0].clone();
        assert!(request.copy_tags);
        let metadata = request.metadata;
        assert_eq!(metadata["SubnetId"], "subnet-1");
        assert_eq!(metadata["SecurityGroupIds"], "[\"sg-1\"]");
        assert_eq!(metadata["InstanceType"], "m7g.large");
        assert_eq!(
            metadata.contains_key("IamInstanceProfileName"),
            with_profiles
        );
        let devices: Value = serde_json::from_str(&metadata["BlockDeviceMappings"]).unwrap();
        assert_eq!(devices.as_array().unwrap().len(), 2);
        for device in devices.as_array().unwrap() {
            assert_eq!(device["Ebs"]["KmsKeyId"], KEY);
            assert!(device["Ebs"].get("SnapshotId").is_none());
        }
    }
}

#[tokio::test]
async fn in_a_drill_all_volumes_go_with_their_instance() {
    for (mode, stays) in [("recover", true), ("drill", false)] {
        let world = planned_world(&[WORKLOAD, STACK, GROUPS]);
        for device in &mut world
            .state()
            .servers
            .images
            .get_mut("ami-1")
            .unwrap()
            .devices
        {
            device.delete_on_termination = device.name == "/dev/xvda";
        }
        let mut input = input(&world).await;
        input["mode"] = json!(mode);
        assert_eq!(start(&world, &input, true).await.kind(), "started");
        let (request, _) = world.state().backups.started[0].clone();
        let devices: Value =
            serde_json::from_str(&request.metadata["BlockDeviceMappings"]).unwrap();
        let data = &devices[1]["Ebs"]["DeleteOnTermination"];
        assert_eq!(data.as_bool(), Some(!stays), "{mode}");
    }
}

#[tokio::test]
async fn refuses_an_image_that_cannot_be_used() {
    let world = planned_world(&[WORKLOAD, STACK, GROUPS]);
    let input = input(&world).await;
    world
        .state()
        .servers
        .images
        .get_mut("ami-1")
        .unwrap()
        .unusable = Some("disabled".to_owned());
    let outcome = start(&world, &input, true).await;
    assert_eq!(outcome.reason(), Some("image-unusable"));
    assert!(world.state().backups.started.is_empty());
}

#[tokio::test]
async fn uses_a_restore_job_again_only_while_its_instance_exists() {
    let world = planned_world(&[WORKLOAD, STACK, GROUPS]);
    let mut input = input(&world).await;
    let first = start(&world, &input, true).await;
    let first = first.id("restoreJobId").unwrap().to_owned();
    input["execution"]["name"] = json!("shop-2");
    let again = start(&world, &input, true).await;
    assert_eq!(again.id("restoreJobId"), Some(first.as_str()));
    world.set_started("COMPLETED");
    for job in world.state().restore_jobs.values_mut() {
        job.created_resource = Arn::parse("arn:aws:ec2:us-west-2:111122223333:instance/i-9").ok();
    }
    input["execution"]["name"] = json!("shop-3");
    let new = start(&world, &input, true).await;
    assert_ne!(
        new.id("restoreJobId"),
        Some(first.as_str()),
        "it was terminated"
    );
}
