//! What must hold: at each call, and when the world has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use recovery_core::aws::arn::{InstanceId, OpsItemId, RestoreJobId, VolumeId};
use recovery_core::aws::ec2::DeviceName;
use recovery_core::fakes::StoredItem;
use recovery_core::notification::Notification;
use recovery_core::ops_item::{OpsItemChange, Status};
use recovery_core::track::run::restore_key;

use crate::executor::{Millis, TaskId};
use crate::parties::{MINUTE, Plan, Purpose, Restore};
use crate::world::Sim;

/// What was done, by whom and when.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Calls of each run.
    pub(crate) calls: BTreeMap<TaskId, usize>,
    /// Calls that went wrong.
    faults: usize,
    /// Calls that changed something.
    pub(crate) writes: usize,
    attachments: Vec<Made>,
    /// How many of the attachments have been looked at.
    checked: usize,
    told: Vec<Told>,
    by_person: BTreeMap<VolumeId, Vec<(Millis, Deed)>>,
    resolved_by_person: BTreeMap<OpsItemId, Millis>,
    /// Items that were created while an older one of the same key was not listed yet.
    pub(crate) unlisted: BTreeSet<OpsItemId>,
    /// Restores whose integration used up its attempts, and was not replayed.
    pub(crate) given_up: BTreeSet<RestoreJobId>,
    /// What must not have happened.
    pub(crate) violations: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Attached,
    Detached,
}

/// An attachment that was made by a run.
struct Made {
    at: Millis,
    volume: VolumeId,
    instance: InstanceId,
    device: String,
}

/// A message to people about a restore.
struct Told {
    job: String,
    subject: String,
}

impl Ledger {
    pub(crate) fn called(&mut self, run: TaskId, failed: bool) {
        *self.calls.entry(run).or_default() += 1;
        self.faults += usize::from(failed);
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

    /// `was` is how far the integration had come by what the item said before.
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
            // Between a run's look and its writing is a moment in which nobody can be heard.
            let known = at > resolved + MINUTE;
            // That a volume is no longer where it was is another matter.
            if known && failing && change.status == Some(Status::Open) && was != Some("attached") {
                self.violations.push(format!(
                    "{id}, which a person resolved, is opened again by a failure"
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

/// What must hold after each step.
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
        .ok_or("a volume that nobody restored is attached")?;
    // What a drill restored goes to the drill's target, and nothing else does.
    let target = match restore.drill {
        true => plan.targets.last().ok_or("there is no target")?,
        false => &plan.targets[restore.target],
    };
    if restore.purpose != Purpose::Tagged {
        return Err(format!(
            "{} is attached, whose tags say no target",
            made.volume
        ));
    }
    if !target.instances.contains(&made.instance) {
        return Err(format!(
            "{} is attached to {}, where it does not belong",
            made.volume, made.instance
        ));
    }
    if restore.device.is_some_and(|device| device != made.device) {
        return Err(format!(
            "{} is attached as {}, which its tags do not say",
            made.volume, made.device
        ));
    }
    Ok(())
}

/// How a restore has to end, by the truth.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Nobody touches it.
    Ignored,
    Attached,
    Refused(&'static str),
    /// Something is not there that may come yet.
    Waiting,
    /// It could be attached, and is not.
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
    if resource.status == "CREATE_FAILED" {
        return End::Refused("target-failed");
    }
    if resource.status == "UPDATE_IN_PROGRESS" {
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
            // One of several is as good as another once it has the volume.
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

/// What must hold once the faults have ceased and the reconciler had its turns.
pub(crate) fn at_rest(sim: &Sim, plan: &Plan) -> Result<(), String> {
    for restore in &plan.restores {
        restore_at_rest(sim, plan, restore).map_err(|what| format!("{}: {what}", restore.id))?;
    }
    Ok(())
}

fn restore_at_rest(sim: &Sim, plan: &Plan, restore: &Restore) -> Result<(), String> {
    let end = end(sim, plan, restore);
    let inner = sim.inner();
    let ledger = &inner.ledger;
    let key = restore_key(&restore.id);
    let items: Vec<StoredItem> = {
        let state = sim.world.state();
        let own = state.items.iter().filter(|stored| stored.key == key);
        own.cloned().collect()
    };
    for repeated in items.iter().skip(1) {
        let said = repeated.description.starts_with("Duplicate of ");
        // Nobody can know of a resolved item that is not listed yet, and OpsCenter hands out the open one
        // that a run left behind when it died.
        let unseen = ledger.unlisted.contains(&repeated.item.id) || plan.weather.faults > 0;
        let by_person = ledger.resolved_by_person.contains_key(&repeated.item.id);
        // Two runs at once: one made it and gave it up for the first, and the other, which had found it
        // open, wrote the attachment into it. Both items are true.
        let says_attached = |stored: &StoredItem| {
            let data = &stored.item.data;
            data.get("recovery:integration").map(String::as_str) == Some("attached")
        };
        let agrees = says_attached(repeated) && says_attached(&items[0]);
        // No reconciler looks after a drill's; what used up its attempts is in the queue of failed invocations.
        let over = repeated.item.status == Status::Resolved
            || restore.drill
            || ledger.given_up.contains(&restore.id);
        if !over || !(said || unseen || by_person || agrees) {
            return Err(format!("{} is a second OpsItem", repeated.item.id));
        }
    }
    if restore.drill {
        // What becomes of it is for the drill to see to. Nobody is to take it for a disaster.
        let told = ledger.told.iter();
        let mut titles = told
            .filter(|told| told.job == restore.id.as_str())
            .map(|told| told.subject.as_str())
            .chain(items.iter().map(|item| item.title.as_str()));
        return match titles.find(|title| !title.starts_with("[drill] ")) {
            Some(title) => Err(format!("of a drill, and people read {title:?}")),
            None => Ok(()),
        };
    }
    let item = items.first();
    let said = item
        .and_then(|item| item.item.data.get("recovery:integration"))
        .map(String::as_str);
    let open = item.is_some_and(|item| item.item.status == Status::Open);
    // What a person has resolved is said to be over by that person.
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
        return Err(format!("people were told {told:?} of what went well"));
    }
    // What was integrated once, or is used by people without an item, may be moved by them.
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
                return Err(format!("nobody's, and yet said {said:?} and told {told:?}"));
            }
        }
        End::Undone => {
            // A person's last word: what was integrated was taken off again.
            let taken_off = matches!(last_deed, Some((_, Deed::Detached))) && !ours_last;
            if !(taken_off && said == Some("attached")) {
                return Err(format!(
                    "could be attached and is not; its item says {said:?}"
                ));
            }
        }
        End::Attached => {
            // The queue of failed invocations tells of it, with an alarm.
            if item.is_none() && !made.is_empty() && !ledger.given_up.contains(&restore.id) {
                return Err("attached by us without an OpsItem".to_owned());
            }
            let Some(item) = item else { return Ok(()) };
            let after = theirs.is_some_and(|at| made.last().is_none_or(|made| made.at < *at));
            if after || theirs.is_some() && !ours_last || ledger.given_up.contains(&restore.id) {
                return Ok(());
            }
            // Of two items, the one that was open is written to: see above.
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
                return Err(format!("attached, and its item says {said:?}"));
            }
            if open != restore.mount && theirs.is_none() {
                return Err(format!("attached, and its item is open: {open}"));
            }
            // Of two items, one of which was not listed, the younger may have been written to.
            if ours_last
                && items.len() == 1
                && let Some(made) = made.last()
            {
                let data = |key: &str| item.item.data.get(key).map(String::as_str);
                let (instance, device) = (data("recovery:instance"), data("recovery:device"));
                if instance != Some(made.instance.as_str()) || device != Some(made.device.as_str())
                {
                    return Err(format!(
                        "attached to {} as {}, and its item says {instance:?}, {device:?}",
                        made.instance, made.device
                    ));
                }
                if !item.title.starts_with("Restored volume") || !item.title.contains("attached to")
                {
                    return Err(format!("attached, and its item is called {:?}", item.title));
                }
            }
        }
        End::Refused(reason) => {
            if said != Some("refused") && theirs.is_none() {
                return Err(format!(
                    "has to be refused ({reason}), and its item says {said:?}"
                ));
            }
            if !open && theirs.is_none() {
                return Err(format!("refused ({reason}), and its item is not open"));
            }
            let subject = format!("Restored volume not attached: {reason}");
            if theirs.is_none() && !told.contains(&subject.as_str()) {
                return Err(format!("refused ({reason}), and people were told {told:?}"));
            }
        }
        End::Waiting => {
            if theirs.is_some() {
                return Ok(());
            }
            if said != Some("failing") || !open {
                return Err(format!(
                    "waits in vain, and its item says {said:?}, open: {open}"
                ));
            }
            if !told.contains(&"Restored volume still not attached") {
                return Err(format!("waits in vain, and people were told {told:?}"));
            }
        }
    }
    Ok(())
}
