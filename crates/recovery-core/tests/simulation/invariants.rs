//! The conditions after each step, and once the world is at rest.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::aws::arn::{DbInstanceId, InstanceId, OpsItemId, RestoreJobId, VolumeId};
use recovery_core::aws::ec2::DeviceName;
use recovery_core::fakes::StoredItem;
use recovery_core::notification::Notification;
use recovery_core::ops_item::restore_key;
use recovery_core::ops_item::{OpsItemChange, Status};

use crate::executor::{Millis, TaskId};
use crate::parties::{MINUTE, Plan, Purpose, Restore};
use crate::site_invariants;
use crate::store_invariants;
use crate::world::Sim;

/// The most calls of one run of an integrator of anything but volumes.
const CALLS_OF_A_RUN: usize = 100;

/// A record of all changes: what, by whom and when.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Calls of each run.
    pub(crate) calls: BTreeMap<TaskId, usize>,
    /// Calls that failed.
    faults: usize,
    /// Calls that changed something.
    pub(crate) writes: usize,
    attachments: Vec<Made>,
    /// How many of the attachments have been checked.
    checked: usize,
    pub(crate) told: Vec<Told>,
    by_person: BTreeMap<VolumeId, Vec<(Millis, Deed)>>,
    pub(crate) resolved_by_person: BTreeMap<OpsItemId, Millis>,
    /// Items that were created while an older one of the same key was not listed yet.
    pub(crate) unlisted: BTreeSet<OpsItemId>,
    /// Restores whose integration used up its attempts, and was not replayed.
    pub(crate) given_up: BTreeSet<RestoreJobId>,
    /// DB instances that could be reached at some time.
    pub(crate) reachable: BTreeSet<DbInstanceId>,
    /// How often each DB instance was created.
    pub(crate) created: BTreeMap<DbInstanceId, usize>,
    /// Databases and tables of which a change was denied.
    pub(crate) denied: BTreeSet<String>,
    /// Restores whose integrator the reconciler invoked, and when.
    pub(crate) invocations: Vec<(Millis, RestoreJobId)>,
    /// Tables that their owners changed after they were configured.
    pub(crate) unprotected: BTreeSet<String>,
    /// Buckets that a person deleted, and when.
    pub(crate) emptied: BTreeMap<String, Millis>,
    /// Restores whose OpsItem has said that their bucket does not exist.
    pub(crate) lost: BTreeSet<RestoreJobId>,
    /// Public addresses that each restored instance ever had.
    pub(crate) addresses: BTreeMap<InstanceId, Vec<String>>,
    /// Restored instances that have served.
    pub(crate) served: BTreeSet<InstanceId>,
    /// Targets, by group and instance, and since when.
    pub(crate) targets: BTreeMap<(String, InstanceId), Millis>,
    /// Targets that owners took out of their groups after they were integrated, and when.
    pub(crate) deregistered: BTreeMap<(String, InstanceId), Millis>,
    /// Violations of the conditions.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Attached,
    Detached,
}

/// An attachment by a run.
struct Made {
    at: Millis,
    volume: VolumeId,
    instance: InstanceId,
    device: String,
}

/// A notification about a restore.
pub(crate) struct Told {
    pub(crate) job: String,
    pub(crate) subject: String,
}

impl Ledger {
    pub(crate) fn called(&mut self, run: TaskId, failed: bool) {
        *self.calls.entry(run).or_default() += 1;
        self.faults += usize::from(failed);
    }

    /// A run of an integrator of anything but volumes has ended.
    pub(crate) fn bounded(&mut self, run: TaskId) {
        let calls = self.calls.get(&run).copied().unwrap_or_default();
        if calls > CALLS_OF_A_RUN {
            self.violations
                .push(format!("run {run} made {calls} calls"));
        }
    }

    pub(crate) fn invoked(&mut self, at: Millis, job: &RestoreJobId) {
        self.invocations.push((at, job.clone()));
    }

    pub(crate) fn unprotected(&mut self, _at: Millis, table: &str) {
        self.unprotected.insert(table.to_owned());
    }

    pub(crate) fn wrote(&mut self, _run: TaskId) {
        self.writes += 1;
    }

    pub(crate) fn attached(
        &mut self,
        at: Millis,
        run: TaskId,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) {
        self.wrote(run);
        self.attachments.push(Made {
            at,
            volume: volume.clone(),
            instance: instance.clone(),
            device: device.as_str().to_owned(),
        });
    }

    /// When a run attached the volume first.
    pub(crate) fn attached_at(&self, volume: &VolumeId) -> Option<Millis> {
        let made = self.attachments.iter().find(|made| made.volume == *volume);
        made.map(|made| made.at)
    }

    /// `was` is the state of the integration that the OpsItem had before the update.
    pub(crate) fn updates(
        &mut self,
        at: Millis,
        run: TaskId,
        id: &OpsItemId,
        was: Option<&str>,
        change: &OpsItemChange,
    ) {
        self.wrote(run);
        let failing =
            change.data.get("recovery:integration").map(String::as_str) == Some("failing");
        if let Some(resolved) = self.resolved_by_person.get(id) {
            // A run cannot see a change between its read and its update.
            let known = at > resolved + MINUTE;
            // A volume that is no longer attached may open the OpsItem again.
            if known && failing && change.status == Some(Status::Open) && was != Some("attached") {
                self.violations.push(format!(
                    "{id}, which a user resolved, is opened again by a failure"
                ));
            }
            if change.status == Some(Status::Open) {
                self.resolved_by_person.remove(id);
            }
        }
    }

    pub(crate) fn told(&mut self, _at: Millis, run: TaskId, notification: &Notification) {
        self.wrote(run);
        let job = notification
            .message
            .lines()
            .find_map(|line| line.strip_prefix("- Restore job: "));
        self.told.push(Told {
            job: job.unwrap_or_default().to_owned(),
            subject: notification.subject.clone(),
        });
    }

    pub(crate) fn attached_by_person(&mut self, at: Millis, volume: &VolumeId) {
        let deeds = self.by_person.entry(volume.clone()).or_default();
        deeds.push((at, Deed::Attached));
    }

    pub(crate) fn detached_by_person(&mut self, at: Millis, volume: &VolumeId) {
        let deeds = self.by_person.entry(volume.clone()).or_default();
        deeds.push((at, Deed::Detached));
    }

    pub(crate) fn resolved_by_person(&mut self, at: Millis, id: &OpsItemId) {
        self.resolved_by_person.insert(id.clone(), at);
    }
}

/// The conditions after each step.
pub(crate) fn at_each_step(sim: &Sim, plan: &Plan) -> Result<(), String> {
    let mut inner = sim.inner();
    if let Some(violation) = inner.ledger.violations.pop() {
        return Err(violation);
    }
    if inner.ledger.checked == inner.ledger.attachments.len() {
        return Ok(());
    }
    inner.ledger.checked += 1;
    let made = &inner.ledger.attachments[inner.ledger.checked - 1];
    let restore = plan
        .restores
        .iter()
        .find(|restore| restore.volume == made.volume)
        .ok_or("an attached volume belongs to no restore")?;
    // Only restores of a drill are attached to the drill's target.
    let target = match restore.drill {
        true => plan.targets.last().ok_or("the plan has no target")?,
        false => &plan.targets[restore.target],
    };
    if restore.purpose != Purpose::Tagged {
        return Err(format!(
            "{} is attached, but its tags name no target",
            made.volume
        ));
    }
    if !target.instances.contains(&made.instance) {
        return Err(format!(
            "{} is attached to {}, which is not its target",
            made.volume, made.instance
        ));
    }
    if restore.device.is_some_and(|device| device != made.device) {
        return Err(format!(
            "{} is attached as {}, which differs from its tag",
            made.volume, made.device
        ));
    }
    Ok(())
}

/// The expected result of a restore, from the real state of the world.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It is skipped.
    Ignored,
    Attached,
    Refused(&'static str),
    /// Something is missing that may still be created.
    Waiting,
    /// It could be attached but is not.
    Undone,
}

fn end(sim: &Sim, plan: &Plan, restore: &Restore) -> End {
    let state = sim.world.state();
    match restore.purpose {
        Purpose::Untagged | Purpose::Test => return End::Ignored,
        Purpose::HalfTagged => return End::Refused("tag-missing"),
        Purpose::WronglyTagged => return End::Refused("tag-invalid"),
        Purpose::Tagged => {}
    }
    let target = &plan.targets[restore.target];
    let resource = state
        .stack_resources
        .get(&(target.stack.clone(), "Server".to_owned()));
    let Some(resource) = resource else {
        return End::Waiting;
    };
    if resource.status.as_str() == "CREATE_FAILED" {
        return End::Refused("target-failed");
    }
    if resource.status.as_str() == "UPDATE_IN_PROGRESS" {
        return End::Waiting;
    }
    let on = state
        .volumes
        .get(&restore.volume)
        .and_then(|volume| volume.attachments.first())
        .map(|attachment| &attachment.instance);
    let instance = match &target.group {
        None => resource.physical_id.clone().map(InstanceId::new),
        Some(group) => {
            let live = state.groups.get(group).into_iter().flatten().filter(|id| {
                let state = state
                    .instances
                    .get(id)
                    .map(|instance| instance.state.as_str());
                matches!(state, Some("pending" | "running"))
            });
            let live: Vec<&InstanceId> = live.collect();
            // Any instance that already has the volume is right.
            if on.is_some_and(|on| live.contains(&on)) {
                return End::Attached;
            }
            if live.len() > 1 {
                return End::Refused("several-instances");
            }
            live.first().map(|id| (*id).clone())
        }
    };
    let instance = instance.and_then(|id| state.instances.get(&id));
    let (Some(instance), Some(volume)) = (instance, state.volumes.get(&restore.volume)) else {
        return End::Waiting;
    };
    if on == Some(&instance.id) {
        return End::Attached;
    }
    match instance.state.as_str() {
        "pending" | "stopping" => return End::Waiting,
        "running" | "stopped" => {}
        _ => return End::Refused("instance-gone"),
    }
    match volume.state.as_str() {
        "available" => {}
        "in-use" => return End::Refused("attached-elsewhere"),
        "creating" => return End::Waiting,
        _ => return End::Refused("volume-unusable"),
    }
    if volume.zone != instance.zone {
        return End::Refused("zone-mismatch");
    }
    let taken = |device: &str| instance.devices.iter().any(|(taken, _)| taken == device);
    match restore.device {
        Some(device) if taken(device) => End::Refused("device-taken"),
        None if ('f'..='p').all(|letter| taken(&format!("/dev/sd{letter}"))) => {
            End::Refused("no-free-device")
        }
        _ => End::Undone,
    }
}

/// The conditions once the faults have ended and the reconciler has run.
pub(crate) fn at_rest(sim: &Sim, plan: &Plan) -> Result<(), String> {
    for restore in &plan.restores {
        restore_at_rest(sim, plan, restore).map_err(|what| format!("{}: {what}", restore.id))?;
    }
    store_invariants::at_rest(sim, plan)?;
    site_invariants::at_rest(sim, plan)
}

/// The OpsItems of a restore job, the oldest first.
pub(crate) fn items_of(sim: &Sim, job: &RestoreJobId) -> Vec<StoredItem> {
    let key = restore_key(job);
    let state = sim.world.state();
    let own = state.items.iter().filter(|stored| stored.key == key);
    own.cloned().collect()
}

/// A restore job has one OpsItem, which records `integrated` in the end. Others are resolved as duplicates.
pub(crate) fn one_item(
    sim: &Sim,
    plan: &Plan,
    job: &RestoreJobId,
    drill: bool,
    integrated: &str,
    items: &[StoredItem],
) -> Result<(), String> {
    let inner = sim.inner();
    let ledger = &inner.ledger;
    for repeated in items.iter().skip(1) {
        let said = repeated.description.starts_with("Duplicate of ");
        // A run cannot see a resolved OpsItem that is not listed yet, and OpsCenter returns the open one
        // that a terminated run has left.
        let unseen = ledger.unlisted.contains(&repeated.item.id) || plan.weather.faults > 0;
        let by_person = ledger.resolved_by_person.contains_key(&repeated.item.id);
        // Of two concurrent runs, one created it and resolved it as a duplicate of the first; the other
        // had found it open and recorded the integration in it. Both OpsItems are correct.
        let says_integrated = |stored: &StoredItem| {
            let data = &stored.item.data;
            data.get("recovery:integration").map(String::as_str) == Some(integrated)
        };
        let agrees = says_integrated(repeated) && says_integrated(&items[0]);
        // The reconciler skips restores of drills. An integration without further attempts is in the
        // dead-letter queue.
        let given_up = drill || ledger.given_up.contains(job);
        // A run that knows no tags and cannot see the resolved OpsItem leaves one that says so. Nobody resolves it.
        let untagged = ledger.unlisted.contains(&repeated.item.id)
            && repeated.item.data.contains_key("recovery:untagged");
        let over = repeated.item.status == Status::Resolved || given_up || untagged;
        if !over || !(said || unseen || by_person || agrees) {
            return Err(format!("{} is a second OpsItem", repeated.item.id));
        }
    }
    Ok(())
}

/// The drill checks its result. Operators must not mistake it for a disaster.
pub(crate) fn says_drill(
    ledger: &Ledger,
    job: &RestoreJobId,
    items: &[StoredItem],
) -> Result<(), String> {
    let told = ledger.told.iter();
    let mut titles = told
        .filter(|told| told.job == job.as_str())
        .map(|told| told.subject.as_str())
        .chain(items.iter().map(|item| item.title.as_str()));
    match titles.find(|title| !title.starts_with("[drill] ")) {
        Some(title) => Err(format!("of a drill, but its title is {title:?}")),
        None => Ok(()),
    }
}

fn restore_at_rest(sim: &Sim, plan: &Plan, restore: &Restore) -> Result<(), String> {
    let end = end(sim, plan, restore);
    let items = items_of(sim, &restore.id);
    one_item(sim, plan, &restore.id, restore.drill, "attached", &items)?;
    let inner = sim.inner();
    let ledger = &inner.ledger;
    if restore.drill {
        return says_drill(ledger, &restore.id, &items);
    }
    let item = items.first();
    let said = item
        .and_then(|item| item.item.data.get("recovery:integration"))
        .map(String::as_str);
    let open = item.is_some_and(|item| item.item.status == Status::Open);
    // The OpsItem may have been resolved by a user.
    let theirs = item.and_then(|item| ledger.resolved_by_person.get(&item.item.id));
    let told: Vec<&str> = ledger
        .told
        .iter()
        .filter(|told| told.job == restore.id.as_str())
        .map(|told| told.subject.as_str())
        .collect();
    let made: Vec<&Made> = ledger
        .attachments
        .iter()
        .filter(|made| made.volume == restore.volume)
        .collect();
    let deeds = ledger.by_person.get(&restore.volume);
    let last_deed = deeds.and_then(|deeds| deeds.last());
    let ours_last = made
        .last()
        .is_some_and(|made| last_deed.is_none_or(|(at, _)| *at < made.at));
    let in_time = made
        .last()
        .is_some_and(|made| made.at + MINUTE < restore.completed + plan.patience);
    if restore.quiet && in_time && !told.is_empty() && end == End::Attached {
        return Err(format!("notified {told:?} of a restore that succeeded"));
    }
    // Users may move a volume that was integrated once or that has no OpsItem.
    let in_use = {
        let state = sim.world.state();
        let volume = state.volumes.get(&restore.volume);
        volume.is_some_and(|volume| !volume.attachments.is_empty())
    };
    if end != End::Attached && in_use && (item.is_none() || said == Some("attached")) {
        return Ok(());
    }
    match end {
        End::Ignored => {
            if said.is_some() || !told.is_empty() {
                return Err(format!(
                    "skipped, but its item says {said:?} and {told:?} was notified"
                ));
            }
        }
        End::Undone => {
            // A user has detached it after its integration.
            let taken_off = matches!(last_deed, Some((_, Deed::Detached))) && !ours_last;
            if !(taken_off && said == Some("attached")) {
                return Err(format!(
                    "could be attached but is not; its item says {said:?}"
                ));
            }
        }
        End::Attached => {
            // The alarm of the dead-letter queue reports it.
            if item.is_none() && !made.is_empty() && !ledger.given_up.contains(&restore.id) {
                return Err("attached by a run without an OpsItem".to_owned());
            }
            let Some(item) = item else { return Ok(()) };
            let after = theirs.is_some_and(|at| made.last().is_none_or(|made| made.at < *at));
            if after || theirs.is_some() && !ours_last || ledger.given_up.contains(&restore.id) {
                return Ok(());
            }
            // Of two OpsItems, the open one was updated: see above.
            let younger_says = items.iter().skip(1).any(|item| {
                item.item
                    .data
                    .get("recovery:integration")
                    .map(String::as_str)
                    == Some("attached")
            });
            if younger_says && !open {
                return Ok(());
            }
            if said != Some("attached") {
                return Err(format!("attached, but its item says {said:?}"));
            }
            if open != restore.mount && theirs.is_none() {
                return Err(format!("attached, but its item is open: {open}"));
            }
            // Of two OpsItems, one of which was not listed, the younger may have been updated.
            if ours_last
                && items.len() == 1
                && let Some(made) = made.last()
            {
                let data = |key: &str| item.item.data.get(key).map(String::as_str);
                let (instance, device) = (data("recovery:instance"), data("recovery:device"));
                if instance != Some(made.instance.as_str()) || device != Some(made.device.as_str())
                {
                    return Err(format!(
                        "attached to {} as {}, but its item says {instance:?}, {device:?}",
                        made.instance, made.device
                    ));
                }
                if !item.title.starts_with("Restored volume") || !item.title.contains("attached to")
                {
                    return Err(format!(
                        "attached, but the title of its item is {:?}",
                        item.title
                    ));
                }
            }
        }
        End::Refused(reason) => {
            if said != Some("refused") && theirs.is_none() {
                return Err(format!(
                    "must be refused ({reason}), but its item says {said:?}"
                ));
            }
            if !open && theirs.is_none() {
                return Err(format!("refused ({reason}), but its item is not open"));
            }
            let subject = format!("Restored volume not attached: {reason}");
            if theirs.is_none() && !told.contains(&subject.as_str()) {
                return Err(format!(
                    "refused ({reason}), but the notifications are {told:?}"
                ));
            }
        }
        End::Waiting => {
            if theirs.is_some() {
                return Ok(());
            }
            if said != Some("failing") || !open {
                return Err(format!(
                    "its target is missing, but its item says {said:?}, open: {open}"
                ));
            }
            if !told.contains(&"Restored volume still not attached") {
                return Err(format!(
                    "its target is missing, but the notifications are {told:?}"
                ));
            }
        }
    }
    Ok(())
}
