//! `RestoreCompletedRule`: a restore completed. restore-integrator attaches its volume, opsitem-creator
//! tracks it. Both share one OpsItem, in any order.

use recovery_core::aws::arn::{InstanceId, VolumeId};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{Attachment, DeviceName};
use recovery_core::fakes::{DRILL_ROLE, FakeClock, Mounts, StoredItem, World};
use recovery_core::ops_item::{Severity, Status};
use recovery_core::ports::Volumes;
use serde_json::json;

use crate::support::disturbed::{Disturbed, finish};
use crate::support::end::{End, is_duplicate};
use crate::support::repository::{event, event_with, events};
use crate::support::restored::{
    DRILL_INSTANCE, INSTANCE, JOB, LOGICAL_ID, OTHER_INSTANCE, STACK, VOLUME, add_drill_stack,
    add_restore, add_target, change_job, integrate, integration, job_of, make_target_a_group,
    retag, track, world_of,
};

use super::{assert_contains, assert_outcome, notifications, only_item};

/// Where the volume is attached: instance and device name.
fn attached(world: &World) -> Vec<(String, String)> {
    let state = world.state();
    state
        .volumes
        .values()
        .flat_map(|volume| &volume.attachments)
        .map(|attachment| (attachment.instance.to_string(), attachment.device.clone()))
        .collect()
}

fn on_the_instance(device: &str) -> Vec<(String, String)> {
    vec![(INSTANCE.to_owned(), device.to_owned())]
}

#[test]
fn attaches_the_volume_and_resolves_its_ops_item() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);

    let outcome = assert_outcome!(integrate(&world, &event), "integrated");

    assert_eq!(
        serde_json::to_value(&outcome).unwrap(),
        json!({
            "outcome": "integrated", "restoreJobId": JOB, "volumeId": VOLUME,
            "instanceId": INSTANCE, "device": "/dev/sdf", "opsItemId": "oi-1",
        })
    );
    let calls = world.calls();
    assert_eq!(
        calls,
        [
            "ec2:DescribeTags arn:aws:ec2:us-west-2::snapshot/snap-0a8530a063a225612".to_owned(),
            format!("ec2:DescribeVolumes {VOLUME}"),
            "cloudformation:DescribeStackResource shop/Server".to_owned(),
            "ec2:DescribeInstances shop/Server".to_owned(),
            format!("ec2:AttachVolume {VOLUME} {INSTANCE} /dev/sdf"),
            format!("ssm:CreateOpsItem restore-job/{JOB}"),
            "ssm:UpdateOpsItem oi-1".to_owned(),
            format!("ssm:DescribeOpsItems restore-job/{JOB}"),
        ]
    );
    let StoredItem {
        title,
        description,
        severity,
        item,
        ..
    } = only_item(&world);
    assert_eq!(
        title,
        format!("Restored volume {VOLUME} attached to {INSTANCE}")
    );
    assert_contains(
        &description,
        &[
            "- Protected resource: `arn:aws:ec2:us-east-1:111122223333:volume/vol-0763fb4e71a955616`",
            &format!("**What was done.** `{VOLUME}` is attached to `{INSTANCE}` as `/dev/sdf`"),
            " s after the restore completed.",
            "**What to do.** No action needed.",
        ],
    );
    assert!(
        !description.contains("No action needed within 15 minutes"),
        "{description}"
    );
    assert_eq!((severity, item.status), (Severity::Low, Status::Resolved));
    assert_eq!(notifications(&world), []);
}

#[test]
fn makes_at_most_five_calls_before_the_attachment() {
    for name in ["restore-completed-ebs", "restore-completed-ebs-minimal"] {
        let event = event(name);
        let world = world_of(&event);
        integrate(&world, &event).unwrap();
        let before = world
            .calls()
            .iter()
            .take_while(|call| !call.starts_with("ec2:AttachVolume"))
            .count();
        assert!(before <= 5, "{name}: {:#?}", world.calls());
    }
}

#[test]
fn duplicate_event_changes_nothing() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    assert_outcome!(integrate(&world, &event), "integrated");
    let end = End::of(&world);
    let outcome = assert_outcome!(integrate(&world, &event), "already-integrated");
    assert_eq!(outcome.id("device"), Some("/dev/sdf"));
    assert_eq!(End::of(&world), end);
}

fn move_instances(world: &World, zone: &str) {
    for instance in world.state().instances.values_mut() {
        instance.zone = zone.to_owned();
    }
}

#[test]
fn integrator_and_tracker_share_one_ops_item_in_any_order() {
    for name in [
        "restore-completed-ebs",
        "restore-completed-ebs-minimal",
        "restore-completed-ebs-no-created-resource",
        "restore-completed-ebs-no-recovery-point",
    ] {
        let event = event(name);
        let assert_attachment_recorded = |world: &World, order: &str| {
            let state = world.state();
            let items: Vec<_> = state
                .items
                .iter()
                .filter(|stored| !is_duplicate(stored))
                .collect();
            let [stored] = items.as_slice() else {
                panic!("{name}, {order}: {:#?}", state.items);
            };
            assert_eq!(stored.item.status, Status::Resolved, "{name}, {order}");
            assert!(
                stored.description.contains("**What was done.**"),
                "{name}, {order}: {}",
                stored.description
            );
            state.items.len() - items.len()
        };
        let world = world_of(&event);
        assert_outcome!(integrate(&world, &event), "integrated");
        assert_outcome!(track(&world, &event), "tracked");
        assert_eq!(
            assert_attachment_recorded(&world, "integrated first"),
            0,
            "{name}"
        );

        let world = world_of(&event);
        assert_outcome!(track(&world, &event), "tracked");
        assert_outcome!(integrate(&world, &event), "integrated");
        // Even if this event does not name the volume: an OpsItem is created without resources.
        assert_eq!(
            assert_attachment_recorded(&world, "tracked first"),
            0,
            "{name}"
        );

        // Concurrently: one of them runs just before any call of the other.
        for call in 0..12 {
            let world = world_of(&event);
            let ports = Disturbed::between(&world, call, |world| {
                track(world, &event).unwrap();
            });
            finish(integration(&ports, &FakeClock::new(), &event)).unwrap();
            drop(ports);
            track(&world, &event).unwrap();
            assert_attachment_recorded(&world, &format!("tracked before call {call}"));

            let world = world_of(&event);
            let ports = Disturbed::between(&world, call, |world| {
                integrate(world, &event).unwrap();
            });
            finish(opsitem_creator::handle(&ports, DRILL_ROLE, &event)).unwrap();
            drop(ports);
            integrate(&world, &event).unwrap();
            assert_attachment_recorded(&world, &format!("integrated before call {call}"));
        }
    }
}

#[test]
fn reuses_an_ops_item_that_a_user_resolved() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    move_instances(&world, "us-west-2b");
    assert_outcome!(integrate(&world, &event), "refused", "zone-mismatch");
    world.state().items[0].item.status = Status::Resolved;
    move_instances(&world, "us-west-2a");
    assert_outcome!(integrate(&world, &event), "integrated");
    let state = world.state();
    let items: Vec<_> = state
        .items
        .iter()
        .filter(|stored| !is_duplicate(stored))
        .collect();
    let [stored] = items.as_slice() else {
        panic!("{:#?}", state.items);
    };
    assert!(stored.title.contains("attached to"), "{}", stored.title);
}

#[test]
fn attaches_to_the_only_instance_of_a_group() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    make_target_a_group(&world, &[INSTANCE]);
    assert_outcome!(integrate(&world, &event), "integrated");
    assert_eq!(attached(&world), on_the_instance("/dev/sdf"));
}

#[test]
fn retries_while_the_group_has_no_instance() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    make_target_a_group(&world, &[]);
    let error = integrate(&world, &event).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_contains(
        &error.to_string(),
        &[
            "autoscaling:DescribeAutoScalingGroups",
            "shop-group",
            "waiting for the group to have an instance",
        ],
    );
    make_target_a_group(&world, &[INSTANCE]);
    assert_outcome!(integrate(&world, &event), "integrated");
}

/// Old instances, even running ones, do not prevent the attachment to the one in service.
#[test]
fn ignores_group_instances_that_are_not_in_service() {
    let event = event("restore-completed-ebs");
    for other in ["Terminating:Wait", "Warmed:Running", "Standby"] {
        let world = world_of(&event);
        make_target_a_group(&world, &[OTHER_INSTANCE, INSTANCE]);
        let stranger = InstanceId::new(OTHER_INSTANCE);
        world.state().lifecycles.insert(stranger, other.to_owned());
        assert_outcome!(integrate(&world, &event), "integrated");
        assert_eq!(attached(&world), on_the_instance("/dev/sdf"), "{other}");
    }
}

#[test]
fn refuses_a_group_of_several_instances() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    make_target_a_group(&world, &[INSTANCE, OTHER_INSTANCE]);
    assert_outcome!(integrate(&world, &event), "refused", "several-instances");
    assert_eq!(attached(&world), []);
    assert_contains(
        &only_item(&world).description,
        &[
            "the Auto Scaling group `shop-group` has 2 instances, but a volume belongs to one instance",
        ],
    );
}

#[test]
fn integrates_sparse_events() {
    for name in [
        "restore-completed-ebs-minimal",
        "restore-completed-ebs-no-created-resource",
        "restore-completed-ebs-no-recovery-point",
        "restore-completed-ebs-differing-recovery-point",
        "restore-completed-ebs-unknown-fields",
    ] {
        let event = event(name);
        let world = world_of(&event);
        assert_outcome!(integrate(&world, &event), "integrated");
        assert_eq!(attached(&world), on_the_instance("/dev/sdf"), "{name}");
        let asked = world
            .calls()
            .iter()
            .any(|call| call.starts_with("backup:DescribeRestoreJob"));
        assert_eq!(asked, name.contains("-no-"), "{name}: {:#?}", world.calls());
    }
}

#[test]
fn integrates_a_job_given_by_its_id() {
    let world = world_of(&event("restore-completed-ebs"));
    let input = event("manual-restore-job");
    assert_outcome!(integrate(&world, &input), "integrated");
    assert_eq!(world.calls()[0], format!("backup:DescribeRestoreJob {JOB}"));
    // The event comes after it.
    let event = event("restore-completed-ebs");
    assert_outcome!(integrate(&world, &event), "already-integrated");
    assert_eq!(world.attachments_made(), 1);
}

#[test]
fn skips_jobs_that_are_not_completed() {
    for status in ["PENDING", "RUNNING", "FAILED", "ABORTED"] {
        let world = world_of(&event("restore-completed-ebs"));
        change_job(&world, JOB, |job| job.status = Some(status.to_owned()));
        let input = event("manual-restore-job");
        assert_outcome!(integrate(&world, &input), "ignored", "status");
        assert_eq!(world.calls().len(), 1);
    }
}

#[test]
fn event_files_of_restored_volumes_contain_the_role() {
    let mut seen = 0;
    for (name, event) in events() {
        let detail = &event["detail"];
        let restored = event["detail-type"] == "Restore Job State Change"
            && event["source"] == "aws.backup"
            && detail["status"] == "COMPLETED"
            && detail["resourceType"] == "EBS";
        if restored {
            assert!(detail["iamRoleArn"].is_string(), "{name}");
            assert!(job_of(event).iam_role.is_some(), "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen}");
}

/// In the order of a drill: the events of its restore, a manual request, the state machine.
#[test]
fn attaches_restores_of_a_drill_only_to_the_drill_stack() {
    let event = event("restore-completed-ebs-drill");
    let world = world_of(&event);
    add_drill_stack(&world, &event);

    assert_outcome!(track(&world, &event), "tracked");
    assert_eq!(
        only_item(&world).title,
        "[drill] Restore job (EBS) completed"
    );
    let before = world.calls().len();
    assert_outcome!(integrate(&world, &event), "ignored", "drill");
    assert_eq!(world.calls().len(), before);
    let manual = crate::support::repository::event("manual-restore-job");
    assert_outcome!(integrate(&world, &manual), "ignored", "drill");
    assert_eq!(attached(&world), []);

    let asked = crate::support::repository::event("manual-drill-restore-job");
    let outcome = assert_outcome!(integrate(&world, &asked), "integrated");
    assert_eq!(outcome.id("instanceId"), Some(DRILL_INSTANCE));
    assert_eq!(
        attached(&world),
        [(DRILL_INSTANCE.to_owned(), "/dev/sdf".to_owned())]
    );
    assert_outcome!(integrate(&world, &asked), "already-integrated");
    assert_outcome!(integrate(&world, &event), "ignored", "drill");
    let StoredItem {
        title,
        severity,
        item,
        ..
    } = only_item(&world);
    assert_eq!(
        title,
        format!("[drill] Restored volume {VOLUME} attached to {DRILL_INSTANCE}")
    );
    assert_eq!((severity, item.status), (Severity::Low, Status::Resolved));
    assert_eq!(notifications(&world), []);
    assert_eq!(world.attachments_made(), 1);
}

#[test]
fn refuses_to_attach_a_restore_of_the_workload_to_a_drill() {
    let restored = event("restore-completed-ebs");
    let world = world_of(&restored);
    add_drill_stack(&world, &restored);
    let asked = event("manual-drill-restore-job");
    let outcome = assert_outcome!(integrate(&world, &asked), "refused", "not-a-drill");
    assert_contains(
        outcome.id("remedy").unwrap(),
        &["pass the restore job without \"drill\""],
    );
    assert_eq!(attached(&world), []);
    assert!(world.state().items.is_empty());
    assert_eq!(notifications(&world), []);
    assert_outcome!(integrate(&world, &restored), "integrated");
    assert_eq!(attached(&world), on_the_instance("/dev/sdf"));
    // The same once the volume is attached to the workload.
    assert_outcome!(integrate(&world, &asked), "refused", "not-a-drill");
    assert_eq!(attached(&world), on_the_instance("/dev/sdf"));
}

#[test]
fn integrates_in_other_partitions() {
    for (name, zone) in [
        ("restore-completed-ebs-aws-cn", "cn-northwest-1a"),
        ("restore-completed-ebs-aws-us-gov", "us-gov-west-1a"),
    ] {
        let event = event(name);
        let world = world_of(&event);
        assert_outcome!(integrate(&world, &event), "integrated");
        let state = world.state();
        assert_eq!(state.attachments(), 1, "{name}");
        assert!(state.volumes.values().all(|volume| volume.zone == zone));
    }
}

/// Counts in a world's state.
trait Counted {
    fn attachments(&self) -> usize;
}

impl Counted for recovery_core::fakes::State {
    fn attachments(&self) -> usize {
        self.volumes
            .values()
            .map(|volume| volume.attachments.len())
            .sum()
    }
}

#[test]
fn refuses_other_accounts_and_regions() {
    let event = event("restore-completed-ebs");
    for (pointer, value) in [("/region", "eu-west-1"), ("/account", "444455556666")] {
        let world = world_of(&event);
        let mut elsewhere = event.clone();
        elsewhere[pointer.trim_start_matches('/')] = json!(value);
        // The function runs in the account and Region of the changed envelope. The volume is elsewhere.
        assert_outcome!(integrate(&world, &elsewhere), "refused", "not-here");
        assert_eq!(attached(&world), []);
        assert_eq!(notifications(&world).len(), 1);
    }
}

#[test]
fn skips_resources_of_restore_tests() {
    // Identified by the event.
    let by_event = event("restore-test-completed-ebs");
    let world = world_of(&by_event);
    assert_outcome!(integrate(&world, &by_event), "ignored", "restore-test");
    assert_outcome!(track(&world, &by_event), "ignored", "restore-test");
    assert_eq!(world.calls(), Vec::<String>::new());

    // Identified by the job only.
    for name in [
        "restore-completed-ebs-no-created-resource",
        "manual-restore-job",
    ] {
        let full = event("restore-completed-ebs");
        let world = world_of(&full);
        let asking = event(name);
        if name != "manual-restore-job" {
            add_restore(&world, &asking);
        }
        for job in world.state().restore_jobs.values_mut() {
            job.restore_test = true;
        }
        assert_outcome!(integrate(&world, &asking), "ignored", "restore-test");
        assert_eq!(attached(&world), [], "{name}");
    }

    // Identified by the volume's tag only.
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    for volume in world.state().volumes.values_mut() {
        volume.restore_test = true;
    }
    assert_outcome!(integrate(&world, &event), "ignored", "restore-test");
    assert_eq!(attached(&world), []);
    assert_eq!(notifications(&world), []);
}

#[test]
fn refuses_another_zone_and_notifies_once() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    move_instances(&world, "us-west-2b");
    assert_outcome!(integrate(&world, &event), "refused", "zone-mismatch");
    assert_outcome!(integrate(&world, &event), "refused", "zone-mismatch");
    assert_eq!(world.attachments_made(), 0);

    let why = format!(
        "{VOLUME} is in us-west-2a, but {INSTANCE} is in us-west-2b: a volume can only be attached within its Availability Zone"
    );
    let remedy = "Restore the recovery point again with availabilityZone us-west-2b";
    let StoredItem {
        title,
        description,
        severity,
        item,
        ..
    } = only_item(&world);
    assert_eq!(title, "Restored volume not attached: zone-mismatch");
    assert_contains(
        &description,
        &[
            &format!("**Why.** {why}."),
            &format!("**What to do.** {remedy}"),
            &format!(
                "invoke the function restore-integrator with `{{\"restoreJobId\": \"{JOB}\"}}`"
            ),
        ],
    );
    assert_eq!((severity, item.status), (Severity::High, Status::Open));
    let notifications = notifications(&world);
    let [(subject, message)] = notifications.as_slice() else {
        panic!("notified {} times", notifications.len());
    };
    assert_eq!(subject, "Restored volume not attached: zone-mismatch");
    assert_contains(
        message,
        &[
            &format!("Why\n{why}.\n"),
            &format!("What to do\n{remedy}"),
            &format!("Restore job: {JOB}"),
            "OpsItem: oi-1",
        ],
    );

    // Another refusal is notified, too, in the same OpsItem.
    move_instances(&world, "us-west-2a");
    for instance in world.state().instances.values_mut() {
        instance.state = "terminated".into();
    }
    assert_outcome!(integrate(&world, &event), "refused", "instance-gone");
    assert_eq!(world.state().notifications.len(), 2);
    assert_contains(&only_item(&world).description, &["is terminated"]);
}

#[test]
fn skips_recovery_points_without_recovery_tags() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    retag(&world, &[("Name", "data"), ("recovery:workload", "shop")]);
    assert_outcome!(integrate(&world, &event), "ignored", "untagged");
    assert_eq!(attached(&world), []);
    assert!(world.state().items.is_empty());
    assert_eq!(notifications(&world), []);
}

/// CloudFormation tags the resources of a stack. The tags may name the target or the volume itself.
#[test]
fn uses_cloudformation_tags_only_if_they_name_a_target() {
    let event = event("restore-completed-ebs");
    let own = |stack: &'static str, logical_id: &'static str| {
        let world = world_of(&event);
        retag(
            &world,
            &[
                ("aws:cloudformation:stack-name", stack),
                ("aws:cloudformation:logical-id", logical_id),
            ],
        );
        world.state().stack_resources.insert(
            ("shop".to_owned(), "Volume".to_owned()),
            StackResource {
                resource_type: "AWS::EC2::Volume".to_owned(),
                physical_id: Some("vol-0source".to_owned()),
                status: "CREATE_COMPLETE".into(),
            },
        );
        world
    };
    let world = own("shop", "Server");
    assert_outcome!(integrate(&world, &event), "integrated");
    assert_eq!(attached(&world), on_the_instance("/dev/sdf"));
    // The source volume, a deleted resource, and a stack that is not in this Region.
    for (stack, logical_id) in [
        ("shop", "Volume"),
        ("shop", "Gone"),
        ("elsewhere", "Volume"),
    ] {
        let world = own(stack, logical_id);
        assert_outcome!(integrate(&world, &event), "ignored", "untagged");
        assert_eq!(attached(&world), []);
        assert!(world.state().items.is_empty());
        assert_eq!(notifications(&world), []);
    }
    // Recovery tags are used even then.
    let world = own("shop", "Volume");
    retag(
        &world,
        &[
            ("recovery:stack", "shop"),
            ("recovery:logical-id", "Volume"),
        ],
    );
    assert_outcome!(integrate(&world, &event), "refused", "target-type");
    retag(
        &world,
        &[("recovery:stack", "shop"), ("recovery:logical-id", "Gone")],
    );
    let error = integrate(&world, &event).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
}

/// OpsCenter's duplicate check includes the related resources, but not every event names them.
#[test]
fn adds_related_resources_to_the_ops_item_once() {
    let resources = |world: &World| only_item(world).item.data.get("/aws/resources").cloned();
    let volume = format!(r#"[{{"arn":"arn:aws:ec2:us-west-2:111122223333:volume/{VOLUME}"}}]"#);
    let named = event("restore-completed-ebs");
    let world = world_of(&named);
    track(&world, &named).unwrap();
    let id = named["detail"]["restoreJobId"].as_str().unwrap();
    let tracked = [
        format!("ssm:DescribeOpsItems restore-job/{id}"),
        format!("ssm:CreateOpsItem restore-job/{id}"),
        format!("ssm:DescribeOpsItems restore-job/{id}"),
    ];
    let added = ["ssm:UpdateOpsItem oi-1".to_owned()];
    assert_eq!(world.calls(), [&tracked[..], &added[..]].concat());
    assert_eq!(resources(&world), Some(volume.clone()));
    track(&world, &named).unwrap();
    assert_eq!(
        world.calls(),
        [&tracked[..], &added[..], &tracked[..1]].concat()
    );

    let unnamed = event("restore-completed-ebs-no-created-resource");
    let world = world_of(&unnamed);
    track(&world, &unnamed).unwrap();
    assert_eq!(world.calls().len(), 3);
    assert_eq!(resources(&world), None);
    // AWS Backup names it.
    assert_outcome!(integrate(&world, &unnamed), "integrated");
    assert_eq!(resources(&world), Some(volume));
}

#[test]
fn refuses_invalid_required_tags_by_name() {
    let event = event("restore-completed-ebs");
    let check = |tags: &[(&str, &str)], reason: &str, named: &str| {
        let world = world_of(&event);
        retag(&world, tags);
        let outcome = integrate(&world, &event).unwrap();
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ("refused", Some(reason))
        );
        assert_contains(&notifications(&world)[0].1, &[named]);
        assert_eq!(attached(&world), []);
    };
    check(&[STACK], "tag-missing", "recovery:logical-id");
    check(&[LOGICAL_ID], "tag-missing", "recovery:stack");
    check(
        &[("recovery:stack", "no stack!"), LOGICAL_ID],
        "tag-invalid",
        "recovery:stack",
    );
    check(
        &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sda1")],
        "root-volume",
        "the device name of a root volume",
    );
    check(
        &[STACK, ("recovery:logical-id", "no id!")],
        "tag-invalid",
        "recovery:logical-id",
    );
}

#[test]
fn keeps_the_ops_item_open_for_an_invalid_optional_tag() {
    let event = event("restore-completed-ebs");
    for (tag, value) in [
        ("recovery:device", "/dev/nvme1n1"),
        ("recovery:mount", "d:"),
        ("recovery:mount", "D:orders"),
        ("recovery:mount", "/srv/my data"),
        ("recovery:mount", "/srv; reboot"),
    ] {
        let world = world_of(&event);
        retag(&world, &[STACK, LOGICAL_ID, (tag, value)]);
        assert_outcome!(integrate(&world, &event), "integrated");
        assert_eq!(attached(&world), on_the_instance("/dev/sdf"));
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Open, "{tag}={value}");
        assert_contains(
            &item.description,
            &["An optional tag could not be used", tag, value],
        );
        assert_eq!(notifications(&world), []);
    }
}

#[test]
fn tracks_but_does_not_integrate_other_resource_types() {
    for name in ["restore-completed-ec2", "restore-completed-s3"] {
        let event = event(name);
        let world = World::new();
        assert_outcome!(integrate(&world, &event), "ignored", "resource-type");
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
        assert_outcome!(track(&world, &event), "tracked");
        let StoredItem {
            title,
            description,
            item,
            ..
        } = only_item(&world);
        assert!(
            title.starts_with("Restore job (") && title.ends_with(") completed"),
            "{title}"
        );
        assert_contains(
            &description,
            &["Connect the workload to the restored resource. Then resolve this OpsItem."],
        );
        assert_eq!(item.status, Status::Open);
    }
}

#[test]
fn ignores_events_of_other_rules_without_a_call() {
    for (name, reason) in [
        ("restore-failed-ebs", "status"),
        ("restore-running", "status"),
        ("restore-created", "status"),
        ("restore-completed-under-state", "status"),
        ("copy-failed", "detail-type"),
        ("recovery-point-completed", "detail-type"),
        ("backup-api-call", "detail-type"),
        ("health-issue-s3-get", "source"),
        ("ebs-volume-created", "source"),
        ("custom-lookalike-restore-completed", "source"),
    ] {
        let event = event(name);
        let world = world_of(&crate::support::repository::event("restore-completed-ebs"));
        let outcome = integrate(&world, &event).unwrap();
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ("ignored", Some(reason)),
            "{name}"
        );
        assert_eq!(world.calls(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn retries_while_the_stack_is_missing() {
    let event = event("restore-completed-ebs");
    let world = World::new();
    add_restore(&world, &event);
    let error = integrate(&world, &event).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_contains(
        &error.to_string(),
        &[
            "shop/Server",
            "does not exist yet",
            "Deploy the stack of the target in this Region",
        ],
    );
    // No notification: this is the usual order of a recovery.
    assert_eq!(notifications(&world), []);

    add_target(&world, &event);
    world
        .state()
        .stack_resources
        .values_mut()
        .for_each(|resource| {
            resource.physical_id = None;
            resource.status = "CREATE_IN_PROGRESS".into();
        });
    let error = integrate(&world, &event).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_contains(
        &error.to_string(),
        &["no physical id yet (CREATE_IN_PROGRESS)"],
    );

    add_target(&world, &event);
    assert_outcome!(integrate(&world, &event), "integrated");
}

#[test]
fn refuses_failed_and_unsupported_targets() {
    let event = event("restore-completed-ebs");
    let check = |resource_type: &str, status: &str, reason: &str| {
        let world = world_of(&event);
        for resource in world.state().stack_resources.values_mut() {
            resource.resource_type = resource_type.to_owned();
            resource.status = status.into();
        }
        let outcome = integrate(&world, &event).unwrap();
        assert_eq!(
            (outcome.kind(), outcome.reason()),
            ("refused", Some(reason))
        );
        assert_eq!(attached(&world), []);
    };
    check("AWS::EC2::Instance", "CREATE_FAILED", "target-failed");
    check("AWS::EC2::Instance", "DELETE_IN_PROGRESS", "target-failed");
    check("AWS::RDS::DBInstance", "CREATE_COMPLETE", "target-type");
}

#[test]
fn waits_for_an_attachment_in_progress() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    world.state().reads_until_attached = 3;
    assert_outcome!(integrate(&world, &event), "integrated");
    assert_eq!(world.attachments_made(), 1);
}

#[test]
fn retry_completes_an_attachment_that_outlasts_the_run() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    world.state().reads_until_attached = 500;
    let error = integrate(&world, &event).unwrap_err();
    assert_eq!(error.error_type(), "Retryable");
    assert_contains(
        &error.to_string(),
        &[
            "while it waited for",
            "The integration is retried automatically",
            "something else uses the name /dev/sdf",
        ],
    );
    world.state().reads_until_attached = 0;
    assert_outcome!(integrate(&world, &event), "already-integrated");
    assert_eq!(world.attachments_made(), 1);
    assert_contains(&only_item(&world).description, &["**What was done.**"]);
}

#[test]
fn waits_until_volume_and_instance_are_ready() {
    let event = event("restore-completed-ebs");
    let check = |arrange: &dyn Fn(&World), ready: &'static (dyn Fn(&World) + Sync)| {
        let world = world_of(&event);
        arrange(&world);
        // It becomes ready after the second check.
        let ports = Disturbed::between(&world, 4, ready);
        assert_outcome!(
            finish(integration(&ports, &FakeClock::new(), &event)),
            "integrated"
        );
        assert_eq!(world.attachments_made(), 1);
    };
    let volume_state = |world: &World, state: &str| {
        for volume in world.state().volumes.values_mut() {
            volume.state = state.into();
        }
    };
    check(&|world| volume_state(world, "creating"), &|world| {
        for volume in world.state().volumes.values_mut() {
            volume.state = "available".into();
        }
    });
    check(
        &|world| {
            for instance in world.state().instances.values_mut() {
                instance.state = "pending".into();
            }
        },
        &|world| {
            for instance in world.state().instances.values_mut() {
                instance.state = "running".into();
            }
        },
    );
}

/// Attaches the volume as a user or another run would.
fn attach_concurrently(world: &World, instance: &str) {
    let (volume, instance) = (VolumeId::new(VOLUME), InstanceId::new(instance));
    let device = DeviceName::parse("/dev/sdh").unwrap();
    futures_util::FutureExt::now_or_never(world.attach(&volume, &instance, &device))
        .unwrap()
        .unwrap();
}

#[test]
fn accepts_a_concurrent_attachment_to_the_same_instance() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    let ports = Disturbed::before(&world, "ec2:AttachVolume", |world| {
        attach_concurrently(world, INSTANCE);
    });
    let outcome = assert_outcome!(
        finish(integration(&ports, &FakeClock::new(), &event)),
        "already-integrated"
    );
    assert_eq!(outcome.id("device"), Some("/dev/sdh"));
    assert_eq!(attached(&world), on_the_instance("/dev/sdh"));
    assert_contains(&only_item(&world).description, &["as `/dev/sdh`"]);
}

#[test]
fn refuses_a_concurrent_attachment_to_another_instance() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    let ports = Disturbed::before(&world, "ec2:AttachVolume", |world| {
        attach_concurrently(world, OTHER_INSTANCE);
    });
    assert_outcome!(
        finish(integration(&ports, &FakeClock::new(), &event)),
        "refused",
        "attached-elsewhere"
    );
    assert_eq!(
        attached(&world),
        [(OTHER_INSTANCE.to_owned(), "/dev/sdh".to_owned())]
    );
    assert_contains(
        &notifications(&world)[0].1,
        &[&format!(
            "{VOLUME} is attached to {OTHER_INSTANCE} instead of {INSTANCE}"
        )],
    );
}

#[test]
fn refuses_a_taken_device_name_only_if_a_tag_requires_it() {
    let event = event("restore-completed-ebs");
    let taken_by = |world: &World, device: &str| {
        for instance in world.state().instances.values_mut() {
            instance
                .devices
                .push((device.to_owned(), VolumeId::new("vol-0other")));
        }
    };
    // A tag requires this device name.
    let world = world_of(&event);
    retag(
        &world,
        &[STACK, LOGICAL_ID, ("recovery:device", "/dev/sdf")],
    );
    taken_by(&world, "/dev/xvdf");
    assert_outcome!(integrate(&world, &event), "refused", "device-taken");
    assert_eq!(attached(&world), []);
    assert_contains(&notifications(&world)[0].1, &["/dev/sdf", "vol-0other"]);

    // No tag: the next one is used.
    let world = world_of(&event);
    taken_by(&world, "/dev/sdf");
    assert_outcome!(integrate(&world, &event), "integrated");
    assert_eq!(attached(&world), on_the_instance("/dev/sdg"));

    // Another volume takes it just before the attachment: the next one is used.
    let world = world_of(&event);
    let ports = Disturbed::before(&world, "ec2:AttachVolume", |world| {
        taken_by(world, "/dev/sdf");
    });
    assert_outcome!(
        finish(integration(&ports, &FakeClock::new(), &event)),
        "integrated"
    );
    drop(ports);
    assert_eq!(attached(&world), on_the_instance("/dev/sdg"));
}

#[test]
fn mounts_the_volume_in_its_instance_and_resolves_the_ops_item() {
    let event = event("restore-completed-ebs");
    for path in ["/srv/data", "D:", "D:/orders"] {
        let world = world_of(&event);
        retag(&world, &[STACK, LOGICAL_ID, ("recovery:mount", path)]);
        world.state().mounts = Mounts::on();
        assert_outcome!(integrate(&world, &event), "integrated");
        let item = only_item(&world);
        assert_eq!(item.item.status, Status::Resolved, "{path}");
        assert_contains(&item.title, &["mounted at", path]);
        assert_eq!(notifications(&world), []);
        let executions = world.state().mounts.executions.clone();
        let [(_, parameters)] = executions.as_slice() else {
            panic!("{executions:?}");
        };
        assert!(parameters.contains(&("Path", vec![path.to_owned()])));
        // The event again.
        let end = End::of(&world);
        assert_outcome!(integrate(&world, &event), "already-integrated");
        assert_eq!(End::of(&world), end);
    }
}

#[test]
fn keeps_the_ops_item_open_with_mount_instructions() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    retag(
        &world,
        &[
            STACK,
            LOGICAL_ID,
            ("recovery:device", "/dev/sdk"),
            ("recovery:mount", "/srv/data"),
        ],
    );
    assert_outcome!(integrate(&world, &event), "integrated");
    assert_eq!(attached(&world), on_the_instance("/dev/sdk"));
    let StoredItem {
        description, item, ..
    } = only_item(&world);
    assert_contains(
        &description,
        &[
            "**What to do.** Mount the volume at `/srv/data`",
            &VOLUME.replace('-', ""),
            "Do not create a file system on it",
        ],
    );
    assert_eq!(item.status, Status::Open);
}

#[test]
fn refuses_terminated_instances_and_unusable_volumes() {
    let event = event("restore-completed-ebs");
    for state in ["terminated", "shutting-down"] {
        let world = world_of(&event);
        for instance in world.state().instances.values_mut() {
            instance.state = state.into();
        }
        assert_outcome!(integrate(&world, &event), "refused", "instance-gone");
        assert_eq!(attached(&world), []);
    }
    for state in ["error", "deleting", "deleted"] {
        let world = world_of(&event);
        for volume in world.state().volumes.values_mut() {
            volume.state = state.into();
        }
        assert_outcome!(integrate(&world, &event), "refused", "volume-unusable");
        assert_eq!(attached(&world), []);
    }
}

#[test]
fn waits_for_a_detachment_from_another_instance() {
    let event = event("restore-completed-ebs");
    let world = world_of(&event);
    for volume in world.state().volumes.values_mut() {
        volume.state = "in-use".into();
        volume.attachments.push(Attachment {
            instance: InstanceId::new(OTHER_INSTANCE),
            device: "/dev/sdf".to_owned(),
            state: "detaching".into(),
            since: None,
        });
    }
    let ports = Disturbed::between(&world, 4, |world| {
        for volume in world.state().volumes.values_mut() {
            volume.state = "available".into();
            volume.attachments.clear();
        }
    });
    assert_outcome!(
        finish(integration(&ports, &FakeClock::new(), &event)),
        "integrated"
    );
    drop(ports);
    assert_eq!(attached(&world), on_the_instance("/dev/sdf"));
}

#[test]
fn gives_each_volume_of_an_instance_another_device_name() {
    let first = event("restore-completed-ebs");
    let world = world_of(&first);
    let mut names = Vec::new();
    for number in 0..11 {
        let second = {
            let mut event = event_with(
                "restore-completed-ebs",
                "/detail/createdResourceArn",
                json!(format!(
                    "arn:aws:ec2:us-west-2:111122223333:volume/vol-{number}"
                )),
            );
            event["detail"]["restoreJobId"] = json!(format!("job-{number}"));
            event
        };
        add_restore(&world, &second);
        let outcome = assert_outcome!(integrate(&world, &second), "integrated");
        names.push(outcome.id("device").unwrap().to_owned());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 11);
    // /dev/sdf to /dev/sdp are used up.
    assert_outcome!(integrate(&world, &first), "refused", "no-free-device");
    assert_eq!(
        world.state().instances[&InstanceId::new(INSTANCE)]
            .devices
            .len(),
        11
    );
}

#[test]
fn rejects_input_without_a_job_id() {
    for id in [
        json!(null),
        json!(""),
        json!(" "),
        json!(7),
        json!(["x"]),
        json!({}),
    ] {
        let world = World::new();
        let error = integrate(&world, &json!({ "restoreJobId": id })).unwrap_err();
        assert_eq!(error.error_type(), "Permanent");
        assert_contains(&error.to_string(), &["Pass {\"restoreJobId\""]);
        assert_eq!(world.calls(), Vec::<String>::new());
    }
}
