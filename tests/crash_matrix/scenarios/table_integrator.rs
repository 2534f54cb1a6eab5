//! A restored table, in every state.

use recovery_core::aws::arn::Arn;
use recovery_core::aws::table::{Stream, TableStatus, TimeToLive, TimeToLiveStatus};
use recovery_core::fakes::{DRILL_ROLE, Parameter, World};
use serde_json::json;

use crate::crash_matrix::scenario::{Function, Scenario};
use crate::support::repository::event;
use crate::support::restored::{change_job, of_a_drill, retag, track};
use crate::support::tables::{FILE, JOB, TABLE, TAGS, each_table, integrate_table};

use super::{at_the_quota, restored};

/// The usual event in its world.
fn usual(name: &'static str, leads_to: &'static str) -> Scenario {
    Scenario::new(
        Function::TableIntegrator,
        name,
        FILE,
        leads_to,
        restored(FILE),
    )
}

/// The tags that name the workload's table, and these words.
fn words(world: &World, words: &str) {
    retag(world, &[TAGS[0], TAGS[1], ("recovery:table", words)]);
}

pub(super) fn scenarios() -> Vec<Scenario> {
    [
        configured(),
        waited_for(),
        refused(),
        skipped(),
        in_drills(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The table gets its settings.
fn configured() -> Vec<Scenario> {
    vec![
        usual("configure", "integrated"),
        usual("nothing-left", "integrated").given(|world| words(world, "pitr nothing-else")),
        usual("no-settings", "integrated")
            .given(|world| retag(world, &[TAGS[0], TAGS[1]]))
            .briefly(),
        usual("event-with-few-fields", "integrated").with(|event| {
            event["detail"]["iamRoleArn"] = json!(null);
            event["detail"]["sourceResourceArn"] = json!(null);
        }),
        usual("by-id", "integrated")
            .with(|input| *input = json!({ "restoreJobId": JOB }))
            .briefly(),
        usual("settings-of-somebody-else", "integrated").given(|world| {
            each_table(world, |table| {
                table.table.stream = Some(Stream {
                    arn: format!("{}/stream/1", table.table.arn),
                    view: "KEYS_ONLY".into(),
                });
                table.ttl = TimeToLive {
                    status: TimeToLiveStatus::Enabled,
                    attribute: Some("until".to_owned()),
                };
            });
        }),
        usual("rejected-settings", "integrated")
            .given(|world| each_table(world, |table| table.rejects = vec!["stream", "ttl"])),
        usual("unusable-words", "integrated").given(|world| words(world, "pitr=99 ttl protected")),
        usual("replaced-parameter", "integrated").given(|world| {
            for (leaf, value) in [("name", "sessions-old"), ("arn", "arn:old")] {
                let parameter = Parameter {
                    value: value.to_owned(),
                    tags: std::collections::BTreeMap::new(),
                    version: 1,
                };
                let name = format!("{}/{leaf}", TAGS[3].1);
                world.state().parameters.insert(name, parameter);
            }
        }),
        usual("tracked", "integrated").given(tracked),
        usual("delivered-before", "already-integrated").given(delivered),
        usual("changed-by-the-owner-since", "already-integrated").given(|world| {
            delivered(world);
            each_table(world, |table| {
                table.table.protected = false;
                table.backups.enabled = false;
            });
        }),
        usual("published-before", "integrated").given(|world| {
            delivered(world);
            let mut state = world.state();
            state.items.clear();
        }),
        at_the_quota(usual("at-the-quota", "integrated")),
        at_the_quota(usual("nothing-left-at-the-quota", "integrated"))
            .given(|world| words(world, "pitr nothing-else")),
    ]
}

/// DynamoDB takes its time.
fn waited_for() -> Vec<Scenario> {
    vec![
        usual("creating", "integrated").given(|world| {
            each_table(world, |table| {
                table.table.status = TableStatus::Creating;
                table.reads_until_active = Some(2);
            });
        }),
        usual("updated-by-somebody-else", "integrated").given(|world| {
            each_table(world, |table| {
                table.table.status = TableStatus::Updating;
                table.reads_until_active = Some(2);
            });
        }),
        usual("continuous-backups-unavailable", "integrated")
            .given(|world| each_table(world, |table| table.backups_unavailable = 3)),
        usual("tags-being-changed", "integrated")
            .given(|world| each_table(world, |table| table.reads_until_tags_settle = 4)),
        usual("creating-for-longer", "pending")
            .given(|world| {
                each_table(world, |table| {
                    table.table.status = TableStatus::Creating;
                    table.reads_until_active = None;
                });
            })
            .then(|world| {
                each_table(world, |table| {
                    table.reads_until_active = table.reads_until_active.or(Some(0));
                });
            }),
    ]
}

/// A rule forbids it.
fn refused() -> Vec<Scenario> {
    let status = |name, status: &'static str, leads_to| {
        usual(name, leads_to)
            .given(move |world| each_table(world, |table| table.table.status = status.into()))
    };
    vec![
        usual("other-name", "refused/table-name").given(|world| retag(world, &[TAGS[0], TAGS[2]])),
        usual("gone", "refused/table-gone").given(|world| world.state().tables.clear()),
        usual("replaced", "refused/table-replaced").given(|world| {
            each_table(world, |table| {
                table.table.created += chrono::TimeDelta::hours(1);
            });
        }),
        status("deleted", "DELETING", "refused/table-unusable"),
        status(
            "key-unusable",
            "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
            "refused/table-key-unusable",
        ),
        usual("other-region", "refused/not-here").with(|event| {
            event["detail"]["createdResourceArn"] =
                json!("arn:aws:dynamodb:us-east-1:111122223333:table/sessions");
        }),
        at_the_quota(usual("gone-at-the-quota", "refused/table-gone"))
            .given(|world| world.state().tables.clear()),
    ]
}

/// Nothing is done.
fn skipped() -> Vec<Scenario> {
    vec![
        usual("untagged", "ignored/untagged").given(|world| retag(world, &[("team", "sales")])),
        usual("other-type", "ignored/resource-type")
            .with(|event| event["detail"]["resourceType"] = json!("EBS")),
        usual("drill-event", "ignored/drill")
            .with(|event| event["detail"]["iamRoleArn"] = json!(DRILL_ROLE)),
        usual("unknown-role", "Permanent")
            .with(|event| event["detail"]["iamRoleArn"] = json!(null))
            .given(|world| change_job(world, JOB, |job| job.iam_role = None)),
    ]
}

/// Restores of a drill.
fn in_drills() -> Vec<Scenario> {
    let asked = |name, leads_to| {
        usual(name, leads_to)
            .with(|input| {
                *input = json!({
                    "restoreJobId": JOB, "drill": {"stack": "shop-drill", "name": "drill-1"},
                });
            })
            .given(|world| {
                of_a_drill(world, JOB);
                rename(world, "sessions-drill-1");
            })
    };
    vec![
        asked("drill", "integrated"),
        asked("drill-gone", "refused/table-gone").given(|world| world.state().tables.clear()),
        asked("drill-without-name", "Permanent").with(|input| input["drill"]["name"] = json!(null)),
        asked("drill-in-the-workloads-stack", "refused/drill-target").given(|world| {
            retag(world, &[TAGS[0], TAGS[2], ("recovery:stack", "shop-drill")]);
        }),
        asked("not-a-drill", "refused/not-a-drill").given(|world| {
            let role = Arn::parse(recovery_core::fakes::RESTORE_ROLE).ok();
            change_job(world, JOB, |job| job.iam_role = role);
        }),
    ]
}

/// Gives the table another name.
fn rename(world: &World, name: &str) {
    let arn = Arn::parse(&format!(
        "arn:aws:dynamodb:us-west-2:111122223333:table/{name}"
    ))
    .expect("it is an ARN");
    {
        let mut state = world.state();
        let mut table = state.tables.remove(TABLE).expect("the table exists");
        table.table.arn = arn.clone();
        state.tables.insert(name.to_owned(), table);
    }
    change_job(world, JOB, |job| job.created_resource = Some(arn));
}

/// Delivers the event to table-integrator.
fn delivered(world: &World) {
    integrate_table(world, &event(FILE)).expect("nothing goes wrong");
}

/// Delivers the event to opsitem-creator.
fn tracked(world: &World) {
    track(world, &event(FILE)).expect("nothing goes wrong");
}
