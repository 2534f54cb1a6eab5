//! `RestoreCompletedInstanceRule`: a restore of an instance completed. instance-integrator registers it with its target
//! groups, follows its health, and publishes its addresses. opsitem-creator tracks the job. Both share one OpsItem.

use recovery_core::fakes::DRILL_ROLE;
use recovery_core::ops_item::Status;
use serde_json::json;

use crate::support::end::End;
use crate::support::instances::{
    FILE, INSTANCE, add_target_group, instance_world, integrate_instance, set_state,
};
use crate::support::repository::{event, event_with};
use crate::support::restored::{of_a_drill, track};

use super::{assert_contains, assert_outcome, notifications, only_item};

const JOB: &str = "8F3F19C3-CF2D-4C04-9246-55933F56D900";

#[test]
fn an_instance_is_registered_and_published_when_it_is_healthy() {
    let event = event(FILE);
    let world = instance_world(&event);
    assert_outcome!(integrate_instance(&world, &event), "pending");
    assert!(world.state().parameters.is_empty());
    let outcome = assert_outcome!(integrate_instance(&world, &event), "integrated");
    assert_eq!(
        serde_json::to_value(&outcome).unwrap(),
        json!({
            "outcome": "integrated",
            "restoreJobId": JOB,
            "instanceId": INSTANCE,
            "address": "10.0.1.7",
            "opsItemId": "oi-1",
        })
    );
    let parameters = world.state().parameters.clone();
    assert_eq!(parameters["/recovery/shop/web/id"].value, INSTANCE);
    let item = only_item(&world);
    assert_eq!(
        item.title,
        format!("Restored instance {INSTANCE} integrated")
    );
    assert_eq!(item.item.status, Status::Resolved);
    assert_contains(&item.description, &["user data", "targetgroup/web"]);
    assert_eq!(notifications(&world), []);
    assert_outcome!(integrate_instance(&world, &event), "already-integrated");
}

#[test]
fn an_instance_that_ended_is_refused_and_notified_once() {
    let event = event(FILE);
    let world = instance_world(&event);
    set_state(&world, "terminated");
    for _ in 0..2 {
        assert_outcome!(
            integrate_instance(&world, &event),
            "refused",
            "instance-gone"
        );
    }
    let item = only_item(&world);
    assert_eq!(item.item.status, Status::Open);
    assert_contains(&item.description, &["KMS key"]);
    assert_eq!(notifications(&world).len(), 1);
}

#[test]
fn both_functions_share_one_ops_item_in_any_order() {
    let event = event(FILE);
    let end = |tracked_first: bool| {
        let world = instance_world(&event);
        if tracked_first {
            assert_outcome!(track(&world, &event), "tracked");
        }
        assert_outcome!(integrate_instance(&world, &event), "pending");
        assert_outcome!(integrate_instance(&world, &event), "integrated");
        if !tracked_first {
            assert_outcome!(track(&world, &event), "tracked");
        }
        only_item(&world);
        End::of(&world)
    };
    assert_eq!(end(true), end(false));
}

#[test]
fn a_drill_registers_with_targets_of_its_own_stack() {
    let event = event(FILE);
    let world = instance_world(&event);
    of_a_drill(&world, JOB);
    world.state().stack_resources.clear();
    add_target_group(&world, "shop-drill");
    let event_of_drill = event_with(FILE, "/detail/iamRoleArn", json!(DRILL_ROLE));
    assert_outcome!(
        integrate_instance(&world, &event_of_drill),
        "ignored",
        "drill"
    );
    let input = json!({"restoreJobId": JOB, "drill": {"stack": "shop-drill", "name": "drill-1"}});
    assert_outcome!(integrate_instance(&world, &input), "pending");
    assert_outcome!(integrate_instance(&world, &input), "integrated");
    let parameters = world.state().parameters.clone();
    assert!(parameters.contains_key("/recovery/shop/web/drill/drill-1/id"));
}
