//! The end that a world came to, and the proof that every way leads there.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::error::Error;
use recovery_core::fakes::{StoredItem, World};
use recovery_core::ops_item::Status;
use recovery_core::outcome::Outcome;

use super::disturbed::{Disturbed, TROUBLES, Trouble};

/// What counts at the end: everything that was made, written and told, however often tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Attachments ever made.
    attachments_made: usize,
    /// Volume, instance, device name and state.
    attachments: BTreeSet<[String; 4]>,
    /// OpsItems: key, status, severity, title, description, data and the items it refers to.
    items: Vec<[String; 7]>,
    /// Notifications; a repeated one counts once.
    notifications: BTreeSet<[String; 2]>,
    /// Executions of runbooks: token and runbook.
    executions: BTreeMap<String, String>,
    /// Results of restore tests: job, and whether it was successful with what was found.
    results: BTreeMap<String, (bool, String)>,
}

impl End {
    /// The end that `world` came to.
    pub(crate) fn of(world: &World) -> End {
        let attachments_made = world.attachments_made();
        let state = world.state();
        let attachments = state
            .volumes
            .values()
            .flat_map(|volume| {
                volume.attachments.iter().map(|attachment| {
                    [
                        volume.id.to_string(),
                        attachment.instance.to_string(),
                        attachment.device.clone(),
                        attachment.state.clone(),
                    ]
                })
            })
            .collect();
        End {
            attachments_made,
            attachments,
            items: state
                .items
                .iter()
                .filter(|item| !is_duplicate(item))
                .map(written)
                .collect(),
            notifications: state
                .notifications
                .iter()
                .map(|told| [told.subject.clone(), without_item(&told.message)])
                .collect(),
            executions: state
                .executions
                .iter()
                .map(|(token, (runbook, _))| (token.clone(), runbook.clone()))
                .collect(),
            results: state
                .restore_tests
                .reports
                .iter()
                .map(|(job, report)| (job.clone(), (report.successful, report.message.clone())))
                .collect(),
        }
    }
}

/// Whether the item was made at the same moment as another one, and resolved in its favour.
pub(crate) fn is_duplicate(stored: &StoredItem) -> bool {
    stored.item.status == Status::Resolved
        && stored
            .description
            .starts_with("Created at the same moment as ")
}

fn written(stored: &StoredItem) -> [String; 7] {
    // How long it took depends on the way.
    let seconds = stored.item.data.get("recovery:seconds-to-attach");
    let description = match seconds {
        Some(seconds) => stored
            .description
            .replace(&format!(", {seconds} s after"), ", N s after"),
        None => stored.description.clone(),
    };
    let data: Vec<String> = stored
        .item
        .data
        .iter()
        .filter(|(key, _)| *key != "recovery:seconds-to-attach")
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    [
        stored.key.to_string(),
        format!("{:?}", stored.item.status),
        format!("{:?}", stored.severity),
        stored.title.clone(),
        description,
        data.join("\n"),
        format!("{:?}", stored.related),
    ]
}

/// One delivery of one event to a function; nothing where the process ended in the middle.
pub(crate) type Delivery<'a> =
    &'a (dyn Fn(&Disturbed<'_>) -> Option<Result<Outcome, Error>> + Sync);

/// Proves that `deliver` comes to one end, whatever happens on the way:
///
/// - a second delivery changes nothing;
/// - each kind of trouble at each call, with the event delivered again;
/// - and, after each of these, a process that dies at each call of the second delivery, before or
///   after it took effect;
/// - a whole other delivery between any two calls.
///
/// Returns in how many ways this was tried.
pub(crate) fn every_way_leads_to_one_end(
    world: &dyn Fn() -> World,
    deliver: Delivery<'_>,
) -> usize {
    let deliver_undisturbed = |world: &World| {
        deliver(&Disturbed::not(world))
            .expect("nothing in this world waits")
            .unwrap_or_else(|error| panic!("an undisturbed delivery failed: {error}"))
    };
    let undisturbed = world();
    deliver_undisturbed(&undisturbed);
    let expected = End::of(&undisturbed);
    deliver_undisturbed(&undisturbed);
    assert_eq!(End::of(&undisturbed), expected, "delivered twice");
    let told = undisturbed.state().notifications.len();
    assert_eq!(
        told,
        expected.notifications.len(),
        "people were told twice of a duplicate"
    );

    // A disturbed run can take a longer way; its calls past the usual ones are disturbed as well.
    let usual = {
        let world = world();
        let counted = Disturbed::not(&world);
        deliver(&counted);
        counted.calls()
    };
    let mut ways = 0;
    let check = |world: &World, way: &str| {
        assert_eq!(
            End::of(world),
            expected,
            "{way}; calls: {:#?}",
            world.calls()
        );
        let state = world.state();
        let duplicates = state.items.iter().filter(|item| is_duplicate(item)).count();
        (duplicates, way.to_owned())
    };
    for call in 0..usual + 4 {
        for trouble in TROUBLES {
            let way = format!("{trouble:?} at call {call}");
            let once = world();
            deliver(&Disturbed::at(&once, call, trouble));
            deliver_undisturbed(&once);
            let (duplicates, way) = check(&once, &way);
            assert_eq!(duplicates, 0, "{way}: a second OpsItem");
            ways += 1;
            for second_call in 0..=usual {
                // What the world can look like after any of them.
                for second in [Trouble::DiesBefore, Trouble::DiesAfter] {
                    let way = format!("{way}, then {second:?} at call {second_call}");
                    let twice = world();
                    deliver(&Disturbed::at(&twice, call, trouble));
                    deliver(&Disturbed::at(&twice, second_call, second));
                    deliver_undisturbed(&twice);
                    let (duplicates, way) = check(&twice, &way);
                    assert_eq!(duplicates, 0, "{way}: a second OpsItem");
                    ways += 1;
                }
            }
        }
        let way = format!("another delivery before call {call}");
        let between = world();
        deliver(&Disturbed::between(&between, call, |world| {
            deliver_undisturbed(world);
        }));
        let (duplicates, way) = check(&between, &way);
        assert!(duplicates <= 1, "{way}: {duplicates} duplicate OpsItems");
        ways += 1;
    }
    ways
}

/// A message without the line that names its OpsItem: people are told also where there is none yet,
/// and then once more.
fn without_item(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .filter(|line| !line.starts_with("OpsItem: "))
        .collect();
    lines.join("\n").trim_end().to_owned()
}
