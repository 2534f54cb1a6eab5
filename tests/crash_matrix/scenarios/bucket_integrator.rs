//! A restored bucket, in every state.

use recovery_core::aws::arn::Arn;
use recovery_core::fakes::{DRILL_ROLE, Parameter, World};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::buckets::{
    BUCKET, FILE, PARTIAL_FILE, TAGS, add_bucket, bucket_world, integrate_bucket,
};
use crate::support::repository::event;
use crate::support::restored::{change_job, of_a_drill, retag, track};

use super::at_the_quota;

const JOB: &str = "14A827EC-86B1-4C58-BCA6-BC29B47FE296";

fn of(name: &'static str, leads_to: &'static str) -> Scenario {
    of_file(FILE, name, leads_to)
}

fn of_file(file: &'static str, name: &'static str, leads_to: &'static str) -> Scenario {
    let world = bucket_world(&event(file));
    Scenario::new(Function::BucketIntegrator, name, file, leads_to, world)
}

fn partial(name: &'static str) -> Scenario {
    of_file(PARTIAL_FILE, name, "partial/restore-partial")
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [checked(), in_part(), refused(), skipped(), in_drills()]
        .into_iter()
        .flatten()
        .collect()
}

/// No object is missing.
fn checked() -> Vec<Scenario> {
    vec![
        of("complete", "integrated"),
        of("by-id", "integrated")
            .with(|input| *input = json!({ "restoreJobId": JOB }))
            .briefly(),
        of("tracked", "integrated").given(|world| {
            track(world, &event(FILE)).expect("nothing goes wrong");
        }),
        of("delivered-before", "already-integrated").given(|world| {
            let answer = integrate_bucket(world, &event(FILE));
            answer.expect("nothing goes wrong");
        }),
        of("replaced-parameter", "integrated").given(|world| {
            let parameter = Parameter {
                value: "assets-old".to_owned(),
                tags: std::collections::BTreeMap::new(),
                version: 1,
            };
            let name = format!("{}/name", TAGS[3].1);
            world.state().parameters.insert(name, parameter);
        }),
        of("unpublished", "integrated").given(|world| retag(world, &TAGS[..3])),
        of("unusable-tag", "integrated").given(|world| {
            retag(
                world,
                &[&TAGS[..3], &[("recovery:publish", "/other")]].concat(),
            );
        }),
        of("tagged-bucket", "integrated").given(|world| {
            let arn = Arn::parse(&format!("arn:aws:s3:::{BUCKET}")).expect("this is an ARN");
            let tag = ["s3", "Name", "assets"].map(str::to_owned).into();
            world.state().tagged_resources.insert(tag, vec![arn]);
            let name = ("recovery:logical-id", "tag:Name=assets");
            retag(world, &[TAGS[0], name, TAGS[3]]);
        }),
        of("no-objects", "integrated").given(|world| {
            change_job(world, JOB, |job| {
                job.status_message = Some("There are no objects that match.".to_owned());
            });
        }),
        at_the_quota(of("at-the-quota", "integrated")),
    ]
}

/// Objects are missing.
fn in_part() -> Vec<Scenario> {
    vec![
        partial("partial"),
        partial("partial-tracked").given(|world| {
            track(world, &event(PARTIAL_FILE)).expect("nothing goes wrong");
        }),
        partial("partial-before").given(|world| {
            let answer = integrate_bucket(world, &event(PARTIAL_FILE));
            answer.expect("nothing goes wrong");
        }),
        at_the_quota(partial("partial-at-the-quota")),
    ]
}

/// A rule forbids it, or the stack does not exist yet.
fn refused() -> Vec<Scenario> {
    vec![
        of("gone", "refused/bucket-gone").given(|world| world.state().buckets.clear()),
        of("other-bucket", "refused/bucket-name")
            .given(|world| retag(world, &[TAGS[0], ("recovery:logical-id", "name:assets")])),
        of("no-reference", "refused/tag-missing").given(|world| retag(world, &TAGS[..2])),
        of("reference-missing", "refused/reference-missing").given(|world| {
            retag(
                world,
                &[TAGS[0], TAGS[1], ("recovery:logical-id", "Images")],
            );
        }),
        of("stack-absent", "pending")
            .given(|world| world.state().stack_resources.clear())
            .then(|world| add_bucket(world, "shop")),
        at_the_quota(of("gone-at-the-quota", "refused/bucket-gone"))
            .given(|world| world.state().buckets.clear()),
    ]
}

/// Nothing is done.
fn skipped() -> Vec<Scenario> {
    vec![
        of("untagged", "ignored/untagged").given(|world| retag(world, &[("team", "sales")])),
        of("other-type", "ignored/resource-type")
            .with(|event| event["detail"]["resourceType"] = json!("EBS")),
        of("drill-event", "ignored/drill")
            .with(|event| event["detail"]["iamRoleArn"] = json!(DRILL_ROLE)),
    ]
}

/// Restores of a drill.
fn in_drills() -> Vec<Scenario> {
    let asked = |name, leads_to| {
        of(name, leads_to)
            .with(|input| {
                *input = json!({
                    "restoreJobId": JOB, "drill": {"stack": "shop-drill", "name": "drill-1"},
                });
            })
            .given(|world: &World| {
                of_a_drill(world, JOB);
                add_bucket(world, "shop-drill");
            })
    };
    vec![
        asked("drill", "integrated"),
        asked("drill-without-name", "Permanent").with(|input| input["drill"]["name"] = json!(null)),
        asked("drill-in-the-workloads-stack", "refused/drill-target").given(|world| {
            retag(world, &[TAGS[0], ("recovery:stack", "shop-drill"), TAGS[2]]);
        }),
        asked("drill-outside", "refused/outside-of-drill").given(|world| {
            let name = format!("name:{BUCKET}");
            retag(world, &[TAGS[0], ("recovery:logical-id", &name)]);
        }),
    ]
}
