//! `RestoreCompletedFileSystemRule`: a restore of a file system completed. file-system-integrator makes one of
//! EFS reachable, publishes the addresses, and mounts it. opsitem-creator tracks the job. Both share one OpsItem, in any
//! order.

use recovery_core::fakes::{DRILL_ROLE, World};
use recovery_core::ops_item::Status;
use serde_json::json;

use crate::support::end::End;
use crate::support::file_systems::{
    EFS, EFS_FILE, FSX, FSX_FILE, add_network, file_system_world, integrate_file_system,
    integrate_file_system_to_the_end, mount_on_group,
};
use crate::support::repository::{event, event_with};
use crate::support::restored::{of_a_drill, track};

use super::{assert_contains, assert_outcome, notifications, only_item};

#[test]
fn a_file_system_of_efs_becomes_reachable() {
    let event = event(EFS_FILE);
    let world = file_system_world(&event);
    let first = assert_outcome!(integrate_file_system(&world, &event), "pending");
    assert_contains(first.id("waitingFor").unwrap(), &["to show"]);
    let outcome = assert_outcome!(
        integrate_file_system_to_the_end(&world, &event),
        "integrated"
    );
    assert_eq!(
        serde_json::to_value(&outcome).unwrap(),
        json!({
            "outcome": "integrated",
            "restoreJobId": "DC460CBC-925D-4780-9379-E376A4AF8873",
            "fileSystemId": EFS,
            "address": "us-west-2a=10.0.1.5 us-west-2b=10.0.2.5",
            "opsItemId": "oi-1",
        })
    );
    assert_eq!(
        world.state().parameters["/recovery/shop/shared/id"].value,
        EFS
    );
    let item = only_item(&world);
    assert_contains(
        &item.description,
        &[
            "The EFS file system",
            "can be reached at",
            "create-access-point",
        ],
    );
    assert_eq!(item.item.status, Status::Open);
    assert_eq!(notifications(&world), []);
}

#[test]
fn a_file_system_of_fsx_is_published() {
    let event = event(FSX_FILE);
    let world = file_system_world(&event);
    assert_outcome!(integrate_file_system(&world, &event), "integrated");
    let parameters = world.state().parameters.clone();
    assert_eq!(
        parameters["/recovery/shop/shared/mount-name"].value,
        "fzlesbev"
    );
    let item = only_item(&world);
    assert_eq!(item.title, format!("Restored file system {FSX} integrated"));
    assert_eq!(item.item.status, Status::Resolved);
    assert_outcome!(integrate_file_system(&world, &event), "already-integrated");
}

#[test]
fn a_file_system_is_mounted_on_each_instance_of_a_group() {
    for file in [EFS_FILE, FSX_FILE] {
        let event = event(file);
        let world = file_system_world(&event);
        mount_on_group(&world, "shop", &["i-0web1", "i-0web2"]);
        assert_outcome!(
            integrate_file_system_to_the_end(&world, &event),
            "integrated"
        );
        let item = only_item(&world);
        assert_contains(&item.title, &["mounted at /shared on 2 instances"]);
        assert_contains(
            &item.description,
            &["is mounted at `/shared` on `i-0web1`", "`i-0web2`"],
        );
        assert_eq!(item.item.status, Status::Resolved);
        assert_eq!(notifications(&world), []);
        assert_outcome!(integrate_file_system(&world, &event), "already-integrated");
    }
}

#[test]
fn both_functions_share_one_ops_item_in_any_order() {
    for file in [EFS_FILE, FSX_FILE] {
        let event = event(file);
        let end = |tracked_first: bool| {
            let world = file_system_world(&event);
            if tracked_first {
                assert_outcome!(track(&world, &event), "tracked");
            }
            assert_outcome!(
                integrate_file_system_to_the_end(&world, &event),
                "integrated"
            );
            if !tracked_first {
                assert_outcome!(track(&world, &event), "tracked");
            }
            only_item(&world);
            End::of(&world)
        };
        assert_eq!(end(true), end(false), "{file}");
    }
}

#[test]
fn the_item_of_the_job_says_what_happens_next() {
    let event = event(EFS_FILE);
    let world = file_system_world(&event);
    assert_outcome!(track(&world, &event), "tracked");
    assert_contains(
        &only_item(&world).description,
        &[
            "one of EFS gets its mount targets",
            "invoke the function file-system-integrator with",
        ],
    );
    // No person is needed yet.
    assert_eq!(notifications(&world), []);
    let drill = event_with(EFS_FILE, "/detail/iamRoleArn", json!(DRILL_ROLE));
    let world = World::new();
    assert_outcome!(track(&world, &drill), "tracked");
    assert_contains(
        &only_item(&world).description,
        &["The drill makes the file system reachable in its own stack."],
    );
}

#[test]
fn a_drill_uses_its_own_stack() {
    let event = event(FSX_FILE);
    let world = file_system_world(&event);
    let job = "6A8E8194-BCF4-493C-ABFE-6B2F189ADF0B";
    of_a_drill(&world, job);
    add_network(&world, "shop-drill");
    let event_of_drill = event_with(FSX_FILE, "/detail/iamRoleArn", json!(DRILL_ROLE));
    assert_outcome!(
        integrate_file_system(&world, &event_of_drill),
        "ignored",
        "drill"
    );
    let input = json!({"restoreJobId": job, "drill": {"stack": "shop-drill", "name": "drill-1"}});
    assert_outcome!(integrate_file_system(&world, &input), "integrated");
    let names: Vec<String> = world.state().parameters.keys().cloned().collect();
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("/recovery/shop/shared/drill/drill-1/")),
        "{names:?}"
    );
}
