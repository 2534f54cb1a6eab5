//! Who else acts: AWS, the owner's stacks, drills, people, other software. What they will do is drawn from the
//! seed before the world begins.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use recovery_core::aws::arn::{Arn, InstanceId, RecoveryPointArn, RestoreJobId, VolumeId};
use recovery_core::aws::backup;
use recovery_core::aws::backup::{EBS, RestoreJob};
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{Attachment, Instance, Volume};
use recovery_core::event;
use recovery_core::event::Event;
use recovery_core::fakes::{DRILL_ROLE, RESTORE_ROLE};
use recovery_core::ops_item::Status;
use recovery_core::tags::Tags;
use serde_json::json;

use crate::data_stores::{self, DataStore, StoreAct};
use crate::executor::{Millis, TaskId, lock};
use crate::sites::{self, SiteAct, Sites};
use crate::world::{Sim, Weather, time};

pub(crate) const MINUTE: Millis = 60_000;
/// How often `restore-reconciler` runs.
pub(crate) const PERIOD: Millis = MINUTE;
pub(crate) const ZONE: &str = "us-west-2a";
const OTHER_ZONE: &str = "us-west-2b";

/// Something that happens to the world, or begins.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A stack is there, with its target.
    Deployed(usize),
    /// A stack could not make its target.
    NotDeployed(usize),
    InstanceState(InstanceId, &'static str),
    /// The stack or group begins to replace the target's instance by this one.
    ReplacementBegins(usize, InstanceId),
    ReplacementEnds(usize, InstanceId),
    /// A group has one more instance.
    ScaledOut(usize, InstanceId),
    /// AWS Backup has begun with a restore.
    Begun(usize),
    /// It has completed it.
    Completed(usize),
    VolumeState(usize, &'static str),
    /// EC2 has attached what it was attaching.
    Attached(VolumeId),
    PersonAttaches(usize, InstanceId),
    PersonDetaches(usize),
    PersonResolves(RestoreJobId),
    /// Something happens to a database or a table.
    Store(StoreAct),
    /// Something happens to a stack, a bucket or an instance that was restored from its image.
    Site(SiteAct),
    /// A volume of nobody here takes a device name.
    DeviceTaken(InstanceId, &'static str),
    DeviceFreed(InstanceId, &'static str),
    /// An invocation's attempt begins.
    Invoke(Invocation),
    /// Lambda ends an attempt that takes too long.
    Deadline(TaskId),
}

/// An asynchronous invocation of a function, and which attempt it is.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) work: Work,
    pub(crate) attempt: usize,
}

/// What a function is invoked for.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// An integrator, by the event of a restore or by its id, perhaps for a drill.
    Integrate(Integrator, Arc<backup::Restore>),
    /// The same by the state machine of a recovery, which has waited for so long.
    Recover(Integrator, Arc<backup::Restore>, Millis),
    /// `opsitem-creator`.
    Track(RestoreJobId, Arc<Event>),
    /// `restore-reconciler`.
    Reconcile,
}

/// A function that integrates restored resources of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Integrator {
    Volume,
    Database,
    Table,
    Bucket,
    Instance,
}

impl Work {
    /// How long Lambda lets an attempt run, by the template.
    pub(crate) fn timeout(&self) -> Millis {
        match self {
            Work::Integrate(..) | Work::Recover(..) | Work::Reconcile => 5 * MINUTE,
            Work::Track(..) => 2 * MINUTE,
        }
    }

    /// How many attempts Lambda or the state machine makes.
    pub(crate) fn attempts(&self) -> usize {
        match self {
            Work::Integrate(..) | Work::Track(..) => 3,
            Work::Recover(..) => 9,
            Work::Reconcile => 1,
        }
    }
}

/// Where volumes belong: an instance of a stack, or the one of a group.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) stack: String,
    pub(crate) group: Option<String>,
    /// Every instance it ever has, in this order.
    pub(crate) instances: Vec<InstanceId>,
    /// Whether it is there early and stays as it is.
    quiet: bool,
}

/// What the tags of a restored volume's recovery point say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Tagged,
    Untagged,
    HalfTagged,
    WronglyTagged,
    Test,
}

/// A restored volume.
#[derive(Debug)]
pub(crate) struct Restore {
    pub(crate) id: RestoreJobId,
    pub(crate) volume: VolumeId,
    point: String,
    /// The target that the tags name.
    pub(crate) target: usize,
    /// Whether a drill made it: then it belongs to the drill's target.
    pub(crate) drill: bool,
    pub(crate) purpose: Purpose,
    pub(crate) device: Option<&'static str>,
    pub(crate) mount: bool,
    zone: &'static str,
    state: &'static str,
    begun: Millis,
    pub(crate) completed: Millis,
    /// Whether nothing and nobody stands in its way.
    pub(crate) quiet: bool,
}

/// A whole world to come.
pub(crate) struct Plan {
    pub(crate) weather: Weather,
    pub(crate) patience: Millis,
    /// The last one is that of drills, and no tag names it.
    pub(crate) targets: Vec<Target>,
    pub(crate) restores: Vec<Restore>,
    /// Restored databases and tables.
    pub(crate) stores: Vec<Arc<DataStore>>,
    /// Buckets and instances from images, with their stacks.
    pub(crate) sites: Arc<Sites>,
    /// When all that fails ever has been told and written down.
    pub(crate) settled: Millis,
    /// When the simulation ends.
    pub(crate) end: Millis,
    acts: Vec<(Millis, Act)>,
}

pub(crate) fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(0..100) < percent
}

pub(crate) fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}

impl Plan {
    /// Draws a world.
    pub(crate) fn draw(rng: &mut Rng) -> Plan {
        let chaos = rng.u64(8..35) * MINUTE;
        let patience = pick(rng, &[5, 10, 15]) * MINUTE;
        // Nothing is restored in the second half of the chaos.
        let settled = chaos.max(chaos / 2 + patience) + 17 * MINUTE;
        let mut plan = Plan {
            weather: Weather {
                faults: pick(rng, &[0, 0, 10, 30, 100, 250]),
                calm: chaos,
                ec2_lag: pick(rng, &[0, 500, 5_000, 20_000]),
                listing_lag: pick(rng, &[0, 500, 5_000, 30_000]),
                slowest_call: 20_000,
            },
            patience,
            targets: Vec::new(),
            restores: Vec::new(),
            stores: Vec::new(),
            sites: Arc::default(),
            settled,
            end: settled + 10 * MINUTE,
            acts: Vec::new(),
        };
        let targets = rng.usize(1..=4).min(rng.usize(1..=4));
        for n in 0..=targets {
            plan.draw_target(rng, n);
        }
        let restores = rng.usize(1..=12).min(rng.usize(1..=12));
        for n in 0..restores {
            plan.draw_restore(rng, n);
        }
        plan.draw_stores(rng);
        plan.draw_sites(rng);
        plan.draw_strangers(rng);
        plan.draw_schedule(rng);
        plan
    }

    /// A healthy instance to which eight volumes are restored in twenty minutes. Nothing goes wrong, except
    /// that the events are delivered in batches every five minutes, as AWS Backup does, or not at all.
    pub(crate) fn draw_healthy(rng: &mut Rng, events: bool) -> Plan {
        let end = 35 * MINUTE;
        let instance = InstanceId::new("i-0");
        let mut plan = Plan {
            weather: Weather {
                faults: 0,
                calm: 0,
                ec2_lag: 500,
                listing_lag: 500,
                slowest_call: 1_000,
            },
            patience: 30 * MINUTE,
            targets: vec![Target {
                stack: "stack-0".to_owned(),
                group: None,
                instances: vec![instance.clone()],
                quiet: true,
            }],
            restores: Vec::new(),
            stores: Vec::new(),
            sites: Arc::default(),
            settled: end,
            end,
            acts: vec![
                (0, Act::Deployed(0)),
                (0, Act::InstanceState(instance, "running")),
            ],
        };
        let batches = rng.u64(0..5 * MINUTE);
        for n in 0..8 {
            let begun = rng.u64(0..20 * MINUTE);
            let restore = Restore {
                id: RestoreJobId::new(format!("job-{n}")),
                volume: VolumeId::new(format!("vol-{n}")),
                point: format!("arn:aws:ec2:us-west-2::snapshot/snap-{n}"),
                target: 0,
                drill: false,
                purpose: Purpose::Tagged,
                device: None,
                mount: false,
                zone: ZONE,
                state: "available",
                begun,
                completed: begun + rng.u64(10_000..10 * MINUTE),
                quiet: true,
            };
            plan.add(restore.begun, Act::Begun(n));
            plan.add(restore.completed, Act::Completed(n));
            if events {
                let wait = (5 * MINUTE + batches - restore.completed % (5 * MINUTE)) % (5 * MINUTE);
                plan.integrate(
                    restore.completed + wait,
                    Integrator::Volume,
                    restore.job().into(),
                );
            }
            plan.restores.push(restore);
        }
        let mut due = rng.u64(0..PERIOD);
        while due < end {
            // EventBridge invokes the target up to some seconds later.
            let at = due + rng.u64(0..5_000);
            plan.invoke(at, Work::Reconcile);
            due += PERIOD;
        }
        plan
    }

    /// Puts everything on the agenda.
    pub(crate) fn note(&self, sim: &Sim) {
        let mut agenda = lock(&sim.agenda);
        for (at, act) in &self.acts {
            agenda.at(*at, act.clone());
        }
        drop(agenda);
        data_stores::add_strangers(sim, &self.stores);
        sites::add_strangers(sim);
    }

    pub(crate) fn add(&mut self, at: Millis, act: Act) {
        self.acts.push((at, act));
    }

    fn draw_target(&mut self, rng: &mut Rng, n: usize) {
        let calm = self.weather.calm;
        let first = InstanceId::new(format!("i-{n}0"));
        let second = InstanceId::new(format!("i-{n}1"));
        let group = chance(rng, 40).then(|| format!("group-{n}"));
        let mut target = Target {
            stack: format!("stack-{n}"),
            group,
            instances: vec![first.clone()],
            quiet: false,
        };
        let early = rng.u64(0..2) * rng.u64(0..MINUTE);
        let late = rng.u64(0..calm);
        let boot = rng.u64(1_000..2 * MINUTE);
        match rng.u32(0..100) {
            0..6 => {}
            6..10 => self.add(early, Act::NotDeployed(n)),
            10..25 => {
                self.add(late, Act::Deployed(n));
                self.add(
                    (late + boot).min(calm),
                    Act::InstanceState(first.clone(), "running"),
                );
            }
            _ => {
                self.add(0, Act::Deployed(n));
                self.add(early, Act::InstanceState(first.clone(), "running"));
                target.quiet = true;
            }
        }
        let at = rng.u64(early..calm);
        let then = |rng: &mut Rng| (at + rng.u64(1..3 * MINUTE)).min(calm);
        let fate = rng.u32(0..100);
        target.quiet &= fate >= 50;
        match fate {
            0..10 if target.group.is_none() => {
                self.add(at, Act::InstanceState(first, "stopping"));
                let stopped = then(rng);
                self.add(
                    stopped,
                    Act::InstanceState(target.instances[0].clone(), "stopped"),
                );
            }
            10..15 => {
                self.add(at, Act::InstanceState(first.clone(), "shutting-down"));
                let gone = then(rng);
                self.add(gone, Act::InstanceState(first, "terminated"));
            }
            15..40 => {
                target.instances.push(second.clone());
                self.add(at, Act::ReplacementBegins(n, second.clone()));
                let running = then(rng);
                self.add(running, Act::InstanceState(second.clone(), "running"));
                let replaced = then(rng);
                self.add(replaced, Act::ReplacementEnds(n, second));
                let gone = (replaced + rng.u64(1..MINUTE)).min(calm);
                self.add(gone, Act::InstanceState(first, "terminated"));
            }
            40..50 if target.group.is_some() => {
                target.instances.push(second.clone());
                self.add(at, Act::ScaledOut(n, second.clone()));
                if chance(rng, 60) {
                    let gone = then(rng);
                    let which = pick(rng, &[&first, &second]).clone();
                    self.add(gone, Act::InstanceState(which, "terminated"));
                }
            }
            _ => {}
        }
        self.targets.push(target);
    }

    fn draw_restore(&mut self, rng: &mut Rng, n: usize) {
        let calm = self.weather.calm;
        let target = rng.usize(0..self.targets.len() - 1);
        let completed = rng.u64(0..calm / 2);
        let mut restore = Restore {
            id: RestoreJobId::new(format!("job-{n}")),
            volume: VolumeId::new(format!("vol-{n}")),
            point: format!("arn:aws:ec2:us-west-2::snapshot/snap-{n}"),
            target,
            drill: chance(rng, 15),
            purpose: match rng.u32(0..100) {
                0..4 => Purpose::Untagged,
                4..8 => Purpose::HalfTagged,
                8..12 => Purpose::WronglyTagged,
                12..15 => Purpose::Test,
                _ => Purpose::Tagged,
            },
            device: chance(rng, 40).then(|| pick(rng, &["/dev/sdf", "/dev/sdg", "/dev/sdh"])),
            mount: chance(rng, 15),
            zone: if chance(rng, 4) { OTHER_ZONE } else { ZONE },
            state: if chance(rng, 25) {
                "creating"
            } else {
                "available"
            },
            begun: completed - rng.u64(0..=completed.min(10 * MINUTE)),
            completed,
            quiet: self.targets[target].quiet,
        };
        self.add(restore.begun, Act::Begun(n));
        self.add(completed, Act::Completed(n));
        if restore.state == "creating" {
            restore.quiet = false;
            let until = rng.u64(completed..calm);
            match rng.u32(0..100) {
                0..10 => {}
                10..20 => self.add(until, Act::VolumeState(n, "error")),
                _ => self.add(until, Act::VolumeState(n, "available")),
            }
        }
        restore.quiet &= !restore.drill
            && restore.purpose == Purpose::Tagged
            && restore.zone == ZONE
            && restore.device.is_none()
            && self.weather.faults == 0
            && self.weather.ec2_lag <= 5_000
            && self.patience > PERIOD;
        self.draw_events(rng, Integrator::Volume, &restore.job(), completed);
        self.draw_drills(rng, &restore);
        if chance(rng, 12) {
            restore.quiet = false;
            self.draw_person(rng, n, &restore);
        }
        self.restores.push(restore);
    }

    /// The events of a restore, as they are delivered to two functions; and who asks for it by its id.
    pub(crate) fn draw_events(
        &mut self,
        rng: &mut Rng,
        integrator: Integrator,
        known: &RestoreJob,
        completed: Millis,
    ) {
        let calm = self.weather.calm;
        let delay = |rng: &mut Rng| match rng.u32(0..3) {
            0 => rng.u64(0..2_000),
            1 => rng.u64(0..5 * MINUTE),
            _ => rng.u64(0..15 * MINUTE),
        };
        if !chance(rng, 20) {
            for _ in 0..pick(rng, &[1, 1, 1, 2, 3]) {
                let mut job = known.clone();
                if chance(rng, 30) {
                    job.created_resource = None;
                    job.iam_role = None;
                    job.restore_test = false;
                }
                if chance(rng, 30) {
                    job.source_resource = None;
                }
                let at = completed + delay(rng);
                self.integrate(at.min(calm), integrator, job.into());
            }
        }
        if !chance(rng, 20) {
            let event = event_of(known, time(completed));
            for _ in 0..pick(rng, &[1, 1, 2]) {
                let at = completed + delay(rng);
                let work = Work::Track(known.id.clone(), event.clone());
                self.invoke(at.min(calm), work);
            }
        }
        if chance(rng, 20) {
            let job = RestoreJob::known_by_id(known.id.clone());
            let at = rng.u64(completed..calm);
            self.integrate(at, integrator, job.into());
        }
    }

    /// A drill asks for what it restored, again and again; now and then one asks for what it did not
    /// restore, or for a stack that is the workload's own.
    fn draw_drills(&mut self, rng: &mut Rng, restore: &Restore) {
        let asks = match restore.drill {
            true => rng.usize(0..5),
            false => usize::from(chance(rng, 8)),
        };
        for _ in 0..asks {
            let target = match chance(rng, 10) {
                true => restore.target,
                false => self.targets.len() - 1,
            };
            let job = RestoreJob::known_by_id(restore.id.clone());
            let asked = backup::Restore {
                drill: Some(backup::Drill {
                    stack: self.targets[target].stack.clone(),
                    name: None,
                }),
                ..backup::Restore::from(job)
            };
            let at = rng.u64(restore.completed..self.weather.calm);
            self.integrate(at, Integrator::Volume, asked);
        }
    }

    pub(crate) fn integrate(&mut self, at: Millis, integrator: Integrator, asked: backup::Restore) {
        self.invoke(at, Work::Integrate(integrator, Arc::new(asked)));
    }

    fn draw_person(&mut self, rng: &mut Rng, n: usize, restore: &Restore) {
        let calm = self.weather.calm;
        let at = rng.u64(restore.completed..calm);
        let later = rng.u64(at..calm);
        let own = self.targets[restore.target].instances[0].clone();
        let other = self.targets[rng.usize(0..self.targets.len())].instances[0].clone();
        match rng.u32(0..4) {
            0 => self.add(at, Act::PersonResolves(restore.id.clone())),
            1 => self.add(at, Act::PersonAttaches(n, own)),
            2 => {
                self.add(at, Act::PersonAttaches(n, other));
                if chance(rng, 50) {
                    self.add(later, Act::PersonDetaches(n));
                }
            }
            _ => self.add(at, Act::PersonDetaches(n)),
        }
        if chance(rng, 30) {
            self.add(later, Act::PersonResolves(restore.id.clone()));
        }
    }

    /// Volumes of others that take device names, some of them for a while.
    fn draw_strangers(&mut self, rng: &mut Rng) {
        let calm = self.weather.calm;
        for n in 0..self.targets.len() {
            if !chance(rng, 15) {
                continue;
            }
            let device = pick(rng, &["/dev/sdf", "/dev/sdg"]);
            let instance = pick(rng, &self.targets[n].instances.iter().collect::<Vec<_>>()).clone();
            let at = rng.u64(0..calm);
            self.add(at, Act::DeviceTaken(instance.clone(), device));
            if chance(rng, 50) {
                let freed = rng.u64(at..calm);
                self.add(freed, Act::DeviceFreed(instance, device));
            }
        }
    }

    /// The schedule of the reconciler: until it is calm, a run is left out now and then, or runs twice.
    fn draw_schedule(&mut self, rng: &mut Rng) {
        let mut at = rng.u64(0..PERIOD);
        while at < self.end {
            let chaos = at < self.weather.calm;
            if !(chaos && chance(rng, 10)) {
                self.invoke(at, Work::Reconcile);
            }
            if chaos && chance(rng, 10) {
                let beside = at + rng.u64(0..MINUTE);
                self.invoke(beside, Work::Reconcile);
            }
            at += PERIOD;
        }
    }

    pub(crate) fn invoke(&mut self, at: Millis, work: Work) {
        self.add(at, Act::Invoke(Invocation { work, attempt: 1 }));
    }
}

impl Restore {
    /// The job as AWS Backup knows it.
    pub(crate) fn job(&self) -> RestoreJob {
        RestoreJob {
            id: self.id.clone(),
            status: Some("COMPLETED".to_owned()),
            status_message: None,
            resource_type: Some(EBS.to_owned()),
            created_resource: Arn::parse(&self.created()).ok(),
            recovery_point: RecoveryPointArn::parse(&self.point).ok(),
            other_forms: Vec::new(),
            source_resource: None,
            iam_role: Arn::parse(self.role()).ok(),
            restore_test: self.purpose == Purpose::Test,
            created: None,
            completed: Some(time(self.completed)),
        }
    }

    fn role(&self) -> &'static str {
        match self.drill {
            true => DRILL_ROLE,
            false => RESTORE_ROLE,
        }
    }

    fn created(&self) -> String {
        format!("arn:aws:ec2:us-west-2:111122223333:volume/{}", self.volume)
    }

    fn tags(&self, target: &Target) -> Tags {
        let stack = ("recovery:stack", target.stack.as_str());
        let logical_id = ("recovery:logical-id", "Server");
        let mut tags = match self.purpose {
            Purpose::Untagged => vec![("Name", "data")],
            Purpose::HalfTagged => vec![stack],
            Purpose::WronglyTagged => vec![("recovery:stack", "no stack!"), logical_id],
            Purpose::Tagged | Purpose::Test => vec![stack, logical_id],
        };
        tags.extend(self.device.map(|device| ("recovery:device", device)));
        tags.extend(self.mount.then_some(("recovery:mount", "/srv/data")));
        tags.into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }
}

/// The event of a completed restore job.
fn event_of(job: &RestoreJob, at: DateTime<Utc>) -> Arc<Event> {
    let payload = json!({
        "version": "0", "id": "e", "source": "aws.backup",
        "detail-type": "Restore Job State Change", "account": "111122223333",
        "region": "us-west-2", "time": at.to_rfc3339(),
        "resources": [job.recovery_point.as_ref().map(RecoveryPointArn::as_str)],
        "detail": {
            "restoreJobId": job.id.as_str(), "status": "COMPLETED", "resourceType": job.resource_type,
            "createdResourceArn": job.created_resource.as_ref().map(Arn::as_str),
            "iamRoleArn": job.iam_role.as_ref().map(Arn::as_str),
        },
    });
    Arc::new(event::parse(&payload).expect("the event is one"))
}

/// Lets something happen to the world.
pub(crate) fn act(sim: &Sim, plan: &Plan, act: &Act) {
    let now = sim.now();
    match act {
        Act::Deployed(n) => {
            let target = &plan.targets[*n];
            deploy(sim, target, "CREATE_COMPLETE", Some(&target.instances[0]));
            launch(sim, target, &target.instances[0]);
        }
        Act::NotDeployed(n) => deploy(sim, &plan.targets[*n], "CREATE_FAILED", None),
        Act::InstanceState(id, state) => instance_state(sim, id, state),
        Act::ReplacementBegins(n, new) => {
            let target = &plan.targets[*n];
            let Some(resource) = resource(sim, target) else {
                return;
            };
            if target.group.is_some() {
                instance_state(sim, &target.instances[0], "shutting-down");
            } else if resource.status.as_str() == "CREATE_COMPLETE" {
                deploy(
                    sim,
                    target,
                    "UPDATE_IN_PROGRESS",
                    Some(&target.instances[0]),
                );
            }
            launch(sim, target, new);
        }
        Act::ReplacementEnds(n, new) => {
            let target = &plan.targets[*n];
            let there = sim.world.state().instances.contains_key(new);
            if there && target.group.is_none() && resource(sim, target).is_some() {
                deploy(sim, target, "UPDATE_COMPLETE", Some(new));
                instance_state(sim, &target.instances[0], "shutting-down");
            }
        }
        Act::ScaledOut(n, new) => {
            if resource(sim, &plan.targets[*n]).is_some() {
                launch(sim, &plan.targets[*n], new);
                instance_state(sim, new, "running");
            }
        }
        Act::Begun(n) => {
            let restore = &plan.restores[*n];
            let job = RestoreJob {
                status: Some("RUNNING".to_owned()),
                created_resource: None,
                completed: None,
                ..restore.job()
            };
            let mut state = sim.world.state();
            state.restore_jobs.insert(restore.id.to_string(), job);
        }
        Act::Completed(n) => {
            let restore = &plan.restores[*n];
            let mut state = sim.world.state();
            let job = restore.job();
            state.restore_jobs.insert(restore.id.to_string(), job);
            let tags = restore.tags(&plan.targets[restore.target]);
            state.tags.insert(restore.point.clone(), tags);
            let volume = Volume {
                id: restore.volume.clone(),
                state: restore.state.into(),
                zone: restore.zone.to_owned(),
                attachments: Vec::new(),
                key: None,
                restore_test: restore.purpose == Purpose::Test,
                owner: None,
                size: None,
                encrypted: None,
                snapshot: None,
            };
            state.volumes.insert(volume.id.clone(), volume);
        }
        Act::VolumeState(n, to) => {
            let mut state = sim.world.state();
            if let Some(volume) = state.volumes.get_mut(&plan.restores[*n].volume)
                && volume.state.as_str() == "creating"
            {
                volume.state = (*to).into();
            }
        }
        Act::Attached(id) => {
            let mut state = sim.world.state();
            for attachment in state
                .volumes
                .get_mut(id)
                .into_iter()
                .flat_map(|v| &mut v.attachments)
            {
                attachment.state = "attached".into();
            }
        }
        Act::PersonAttaches(n, instance) => person_attaches(sim, &plan.restores[*n], instance),
        Act::PersonDetaches(n) => {
            let restore = &plan.restores[*n];
            if detach(sim, &restore.volume) {
                sim.inner().ledger.detached_by_person(now, &restore.volume);
            }
        }
        Act::PersonResolves(job) => {
            let key = recovery_core::ops_item::restore_key(job);
            let mut state = sim.world.state();
            let open = state
                .items
                .iter_mut()
                .find(|stored| stored.key == key && stored.item.status == Status::Open);
            if let Some(stored) = open {
                stored.item.status = Status::Resolved;
                sim.inner().ledger.resolved_by_person(now, &stored.item.id);
            }
        }
        Act::DeviceTaken(instance, device) => {
            let mut state = sim.world.state();
            if let Some(instance) = state.instances.get_mut(instance)
                && instance.devices.iter().all(|(taken, _)| taken != device)
            {
                let stranger = VolumeId::new("vol-stranger");
                instance.devices.push(((*device).to_owned(), stranger));
            }
        }
        Act::DeviceFreed(instance, device) => {
            let mut state = sim.world.state();
            if let Some(instance) = state.instances.get_mut(instance) {
                instance
                    .devices
                    .retain(|(taken, by)| taken != device || by.as_str() != "vol-stranger");
            }
        }
        Act::Store(act) => data_stores::act(sim, &plan.stores, act),
        Act::Site(act) => sites::act(sim, act),
        Act::Invoke(_) | Act::Deadline(_) => {}
    }
}

fn resource(sim: &Sim, target: &Target) -> Option<StackResource> {
    let key = (target.stack.clone(), "Server".to_owned());
    sim.world.state().stack_resources.get(&key).cloned()
}

fn deploy(sim: &Sim, target: &Target, status: &str, instance: Option<&InstanceId>) {
    let (kind, physical_id) = match &target.group {
        Some(group) => ("AWS::AutoScaling::AutoScalingGroup", Some(group.clone())),
        None => ("AWS::EC2::Instance", instance.map(ToString::to_string)),
    };
    let resource = StackResource {
        resource_type: kind.to_owned(),
        physical_id,
        status: status.into(),
    };
    let key = (target.stack.clone(), "Server".to_owned());
    sim.world.state().stack_resources.insert(key, resource);
}

fn launch(sim: &Sim, target: &Target, id: &InstanceId) {
    let mut state = sim.world.state();
    let instance = Instance {
        id: id.clone(),
        state: "pending".into(),
        zone: ZONE.to_owned(),
        devices: Vec::new(),
    };
    state.instances.insert(id.clone(), instance);
    if let Some(group) = &target.group {
        let members = state.groups.entry(group.clone()).or_default();
        if !members.contains(id) {
            members.push(id.clone());
        }
    }
}

/// What is terminated stays so, and gives its volumes free.
fn instance_state(sim: &Sim, id: &InstanceId, to: &str) {
    let mut freed = Vec::new();
    {
        let mut state = sim.world.state();
        let Some(instance) = state.instances.get_mut(id) else {
            return;
        };
        let ends = matches!(to, "shutting-down" | "terminated");
        let over = instance.state.as_str() == "terminated"
            || instance.state.as_str() == "shutting-down" && !ends;
        let started = instance.state.as_str() == "pending" || to != "running";
        if over || !started {
            return;
        }
        instance.state = to.into();
        if to == "terminated" {
            freed = std::mem::take(&mut instance.devices);
        }
    }
    for (_, volume) in freed {
        detach(sim, &volume);
    }
}

/// Takes the volume off its instance: whether it was on one.
fn detach(sim: &Sim, id: &VolumeId) -> bool {
    let mut state = sim.world.state();
    for instance in state.instances.values_mut() {
        instance.devices.retain(|(_, held)| held != id);
    }
    let Some(volume) = state.volumes.get_mut(id) else {
        return false;
    };
    let was = !volume.attachments.is_empty();
    if was {
        volume.attachments.clear();
        volume.state = "available".into();
    }
    was
}

fn person_attaches(sim: &Sim, restore: &Restore, id: &InstanceId) {
    {
        let mut state = sim.world.state();
        let state = &mut *state;
        let (Some(volume), Some(instance)) = (
            state.volumes.get_mut(&restore.volume),
            state.instances.get_mut(id),
        ) else {
            return;
        };
        let possible = volume.state.as_str() == "available"
            && volume.zone == instance.zone
            && matches!(instance.state.as_str(), "running" | "stopped");
        if !possible {
            return;
        }
        let device = format!("/dev/sdz{}", restore.volume.as_str().len());
        volume.state = "in-use".into();
        volume.attachments.push(Attachment {
            instance: id.clone(),
            device: device.clone(),
            state: "attached".into(),
            since: None,
        });
        instance.devices.push((device, volume.id.clone()));
    }
    let now = sim.now();
    sim.attachment_begins(&restore.volume, id, false);
    sim.inner().ledger.attached_by_person(now, &restore.volume);
}
