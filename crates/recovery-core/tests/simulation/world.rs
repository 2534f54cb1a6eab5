//! The ports of a run: the fakes, with calls that take time, fail or terminate the process, and with
//! eventually consistent reads.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use futures_util::FutureExt;
use recovery_core::aws::arn::{InstanceId, OpsItemId, RecoveryPointArn, RestoreJobId, VolumeId};
use recovery_core::aws::auto_scaling::Group;
use recovery_core::aws::backup::RestoreJob;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::{AttachAnswer, DeviceName, Instance, Volume};
use recovery_core::error::{Error, Fault};
use recovery_core::fakes::{World, tags_operation};
use recovery_core::notification::Notification;
use recovery_core::ops_item::{Claim, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use recovery_core::ports::{
    Clock, Instances, Notifications, OpsItems, Page, RecoveryPointTags, RestoreJobs, Restores,
    Runbooks, StackResources, Volumes,
};
use recovery_core::tags::Tags;

use crate::executor::{Agenda, Millis, TaskId, lock, wait};
use crate::invariants::Ledger;
use crate::parties::Act;

/// The time at the beginning.
pub(crate) fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_413_600, 0).unwrap_or_default()
}

/// The time at a moment of the simulation.
pub(crate) fn time(at: Millis) -> DateTime<Utc> {
    beginning() + TimeDelta::milliseconds(i64::try_from(at).unwrap_or(i64::MAX))
}

/// The answer of a fake, which never waits.
pub(crate) fn answer<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("the fakes never wait")
}

/// Faults and delays of a world, drawn for each seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Failed calls per thousand.
    pub(crate) faults: u32,
    /// The time after which no call fails.
    pub(crate) calm: Millis,
    /// Longest time until EC2 shows an attachment.
    pub(crate) ec2_lag: Millis,
    /// Longest time until OpsCenter lists a new item.
    pub(crate) listing_lag: Millis,
    /// Longest time until a call has its effect.
    pub(crate) slowest_call: Millis,
}

/// The result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// A transient failure without effect: throttling, a 5xx or a reset.
    Refused(&'static str),
    /// A timeout, 5xx or reset after the call took effect.
    Lost(&'static str),
    /// A permanent failure, as with a wrong policy.
    Denied,
    DiesBefore,
    DiesAfter,
}

/// The state of one simulation, except its tasks.
pub(crate) struct Sim {
    pub(crate) agenda: Arc<Mutex<Agenda<Act>>>,
    pub(crate) world: World,
    inner: Mutex<Inner>,
}

/// State that the functions under test cannot see.
pub(crate) struct Inner {
    pub(crate) rng: Rng,
    pub(crate) weather: Weather,
    pub(crate) ledger: Ledger,
    /// When EC2 shows an attachment in `DescribeVolumes`.
    volume_shown: BTreeMap<VolumeId, Millis>,
    /// When EC2 shows it in `DescribeInstances`.
    device_shown: BTreeMap<(InstanceId, VolumeId), Millis>,
    /// When OpsCenter lists an item.
    listed: BTreeMap<OpsItemId, Millis>,
    trace: Option<Vec<String>>,
}

impl Sim {
    /// A world without anything in it.
    pub(crate) fn new(rng: Rng, weather: Weather, traced: bool) -> Sim {
        Sim {
            agenda: Arc::new(Mutex::new(Agenda::new())),
            world: World::new(),
            inner: Mutex::new(Inner {
                rng,
                weather,
                ledger: Ledger::default(),
                volume_shown: BTreeMap::new(),
                device_shown: BTreeMap::new(),
                listed: BTreeMap::new(),
                trace: traced.then(Vec::new),
            }),
        }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// The time now.
    pub(crate) fn now(&self) -> Millis {
        lock(&self.agenda).now()
    }

    /// Adds a line to the trace, if there is one.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(trace) = &mut self.inner().trace {
            trace.push(format!(
                "{:>4}:{:02}.{:03} {}",
                now / 60_000,
                now / 1_000 % 60,
                now % 1_000,
                line()
            ));
        }
    }

    /// The lines of the trace.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.inner().trace.clone().unwrap_or_default()
    }

    /// Begins an attachment, which EC2 shows later. If `lasting`, it stays `attaching` for a while.
    pub(crate) fn attachment_begins(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        lasting: bool,
    ) {
        let now = self.now();
        let mut inner = self.inner();
        let lag = inner.weather.ec2_lag;
        let (volumes, instances) = (inner.rng.u64(0..=lag), inner.rng.u64(0..=lag));
        inner.volume_shown.insert(volume.clone(), now + volumes);
        inner
            .device_shown
            .insert((instance.clone(), volume.clone()), now + instances);
        if lasting {
            let takes = inner.rng.u64(100..20_000);
            lock(&self.agenda).at(now + takes, Act::Attached(volume.clone()));
        }
    }

    fn shown_volume(&self, mut volume: Volume) -> Volume {
        let hidden = !volume.attachments.is_empty()
            && self
                .inner()
                .volume_shown
                .get(&volume.id)
                .is_some_and(|shown| self.now() < *shown);
        if hidden {
            volume.attachments.clear();
            volume.state = "available".into();
        }
        volume
    }

    fn shown_instance(&self, mut instance: Instance) -> Instance {
        let now = self.now();
        let inner = self.inner();
        let id = instance.id.clone();
        instance.devices.retain(|(_, volume)| {
            inner
                .device_shown
                .get(&(id.clone(), volume.clone()))
                .is_none_or(|shown| now >= *shown)
        });
        instance
    }
}

/// The ports of one run.
pub(crate) struct Ports {
    pub(crate) sim: Arc<Sim>,
    pub(crate) run: TaskId,
}

impl Ports {
    async fn call<T>(
        &self,
        operation: &'static str,
        subject: impl Display + Sync,
        effect: impl FnOnce(&Sim) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        let (fate, takes) = self.draw();
        let sim = &*self.sim;
        wait(&sim.agenda, sim.now() + takes).await;
        let fault = |code: &str| {
            Fault::new(
                operation,
                subject.to_string(),
                "went wrong",
                "Nothing to do.",
            )
            .with_code(code)
        };
        let died = || {
            sim.note(|| format!("run {}: {operation} {subject}: {fate:?}", self.run));
            lock(&sim.agenda).condemn(self.run);
        };
        sim.inner().ledger.called(self.run, fate != Fate::Fine);
        if fate == Fate::DiesBefore {
            died();
            return std::future::pending().await;
        }
        let answer = match fate {
            Fate::Refused(code) => Err(Error::Retryable(fault(code))),
            Fate::Denied => Err(Error::Permanent(fault("AccessDeniedException"))),
            _ => effect(sim),
        };
        if fate == Fate::DiesAfter {
            died();
            return std::future::pending().await;
        }
        sim.note(|| {
            let became = match &answer {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.fault().code().unwrap_or("error").to_owned(),
            };
            format!(
                "run {}: {operation} {subject}: {fate:?}, {became}",
                self.run
            )
        });
        match fate {
            Fate::Lost(code) => {
                // The client stopped waiting.
                let patience = sim.inner().rng.u64(1_000..20_000);
                wait(&sim.agenda, sim.now() + patience).await;
                answer?;
                Err(Error::Retryable(fault(code)))
            }
            _ => answer,
        }
    }

    /// The result of the next call, and the time until it takes effect.
    fn draw(&self) -> (Fate, Millis) {
        let now = self.sim.now();
        let mut inner = self.sim.inner();
        let Inner { rng, weather, .. } = &mut *inner;
        let takes = match rng.u32(0..100) {
            0..80 => rng.u64(5..200),
            80..95 => rng.u64(100..2_000),
            _ => rng.u64(1_000..20_000),
        };
        let takes = takes.min(weather.slowest_call);
        if now >= weather.calm || rng.u32(0..1_000) >= weather.faults {
            return (Fate::Fine, takes);
        }
        let fate = match rng.u32(0..16) {
            0..3 => Fate::Refused("RequestLimitExceeded"),
            3..5 => Fate::Refused("InternalError"),
            5..9 => Fate::Lost("timeout"),
            9..11 => Fate::Lost("ServiceUnavailable"),
            11 => Fate::Denied,
            12..14 => Fate::DiesBefore,
            _ => Fate::DiesAfter,
        };
        (fate, takes)
    }
}

impl RestoreJobs for Ports {
    async fn restore_job(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        self.call("backup:DescribeRestoreJob", id, |sim| {
            answer(sim.world.restore_job(id))
        })
        .await
    }
}

impl Restores for Ports {
    async fn restores(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        self.call("backup:ListRestoreJobs", page.unwrap_or("first"), |sim| {
            answer(sim.world.restores(since, page))
        })
        .await
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        self.call("ec2:DescribeVolumes", ids.len(), |sim| {
            let volumes = answer(sim.world.volumes(ids))?;
            Ok(volumes.into_iter().map(|v| sim.shown_volume(v)).collect())
        })
        .await
    }

    async fn tags_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        self.call("ec2:DescribeTags", points.len(), |sim| {
            answer(sim.world.tags_together(points))
        })
        .await
    }
}

impl RecoveryPointTags for Ports {
    async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        self.call(tags_operation(point)?, point, |sim| {
            answer(sim.world.tags(point))
        })
        .await
    }
}

impl StackResources for Ports {
    async fn stack_resource(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Option<StackResource>, Error> {
        self.call("cloudformation:DescribeStackResource", stack, |sim| {
            answer(sim.world.stack_resource(stack, logical_id))
        })
        .await
    }
}

impl Volumes for Ports {
    async fn volume(&self, id: &VolumeId) -> Result<Volume, Error> {
        self.call("ec2:DescribeVolumes", id, |sim| {
            Ok(sim.shown_volume(answer(sim.world.volume(id))?))
        })
        .await
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<AttachAnswer, Error> {
        let subject = format!("{volume} to {instance} as {device}");
        self.call("ec2:AttachVolume", subject, |sim| {
            let lasting = sim.inner().rng.bool();
            sim.world.state().looks_until_attached = if lasting { usize::MAX } else { 0 };
            let answered = answer(sim.world.attach(volume, instance, device))?;
            if matches!(answered, AttachAnswer::Accepted { .. }) {
                sim.attachment_begins(volume, instance, lasting);
                let now = sim.now();
                sim.inner()
                    .ledger
                    .attached(now, self.run, volume, instance, device);
            }
            Ok(answered)
        })
        .await
    }
}

impl Instances for Ports {
    async fn instance(&self, id: &InstanceId) -> Result<Instance, Error> {
        self.call("ec2:DescribeInstances", id, |sim| {
            Ok(sim.shown_instance(answer(sim.world.instance(id))?))
        })
        .await
    }

    async fn stack_instances(&self, stack: &str, logical_id: &str) -> Result<Vec<Instance>, Error> {
        self.call("ec2:DescribeInstances", stack, |sim| {
            let instances = answer(sim.world.stack_instances(stack, logical_id))?;
            Ok(instances
                .into_iter()
                .map(|instance| sim.shown_instance(instance))
                .collect())
        })
        .await
    }

    async fn group(&self, name: &str) -> Result<Option<Group>, Error> {
        self.call("autoscaling:DescribeAutoScalingGroups", name, |sim| {
            answer(sim.world.group(name))
        })
        .await
    }

    async fn group_instances(&self, group: &str) -> Result<Vec<Instance>, Error> {
        self.call("ec2:DescribeInstances", group, |sim| {
            let instances = answer(sim.world.group_instances(group))?;
            Ok(instances
                .into_iter()
                .map(|instance| sim.shown_instance(instance))
                .collect())
        })
        .await
    }
}

impl OpsItems for Ports {
    async fn find(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", key, |sim| {
            Ok(listed(sim, answer(sim.world.find(key))?))
        })
        .await
    }

    async fn open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", format!("open {kind}s"), |sim| {
            Ok(listed(sim, answer(sim.world.open(kind))?))
        })
        .await
    }

    async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
        self.call("ssm:GetOpsItem", id, |sim| answer(sim.world.get(id)))
            .await
    }

    async fn create(&self, item: &NewOpsItem) -> Result<Claim, Error> {
        self.call("ssm:CreateOpsItem", &item.key, |sim| {
            let claim = answer(sim.world.create(item))?;
            if let Claim::Created(id) = &claim {
                let now = sim.now();
                let mut inner = sim.inner();
                let lag = inner.weather.listing_lag;
                let lag = inner.rng.u64(0..=lag);
                let older = sim.world.state().items.iter().any(|stored| {
                    let at = inner.listed.get(&stored.item.id);
                    stored.key == item.key && at.is_some_and(|at| now < *at)
                });
                if older {
                    inner.ledger.unlisted.insert(id.clone());
                }
                inner.listed.insert(id.clone(), now + lag);
                inner.ledger.wrote(self.run);
            }
            Ok(claim)
        })
        .await
    }

    async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
        let subject = format!(
            "{id} {}{}",
            change
                .status
                .map_or(String::new(), |status| format!("{status:?} ")),
            change.title.as_deref().unwrap_or_default()
        );
        self.call("ssm:UpdateOpsItem", subject, |sim| {
            let was = {
                let state = sim.world.state();
                let stored = state.items.iter().find(|stored| stored.item.id == *id);
                stored.and_then(|stored| stored.item.data.get("recovery:integration").cloned())
            };
            let now = sim.now();
            sim.inner()
                .ledger
                .updates(now, self.run, id, was.as_deref(), change);
            answer(sim.world.update(id, change))
        })
        .await
    }
}

/// The items that OpsCenter already lists.
fn listed(sim: &Sim, items: Vec<OpsItem>) -> Vec<OpsItem> {
    let now = sim.now();
    let inner = sim.inner();
    items
        .into_iter()
        .filter(|item| inner.listed.get(&item.id).is_none_or(|at| now >= *at))
        .collect()
}

impl Notifications for Ports {
    async fn notify(&self, notification: &Notification) -> Result<(), Error> {
        self.call("sns:Publish", &notification.subject, |sim| {
            let now = sim.now();
            sim.inner().ledger.told(now, self.run, notification);
            answer(sim.world.notify(notification))
        })
        .await
    }
}

impl Runbooks for Ports {
    async fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<String, Error> {
        self.call("ssm:StartAutomationExecution", runbook, |sim| {
            sim.inner().ledger.wrote(self.run);
            answer(sim.world.start(runbook, token, parameters))
        })
        .await
    }
}

/// The clock of one run, which Lambda stops at `deadline`.
pub(crate) struct RunClock {
    pub(crate) sim: Arc<Sim>,
    pub(crate) deadline: Millis,
}

impl Clock for RunClock {
    fn now(&self) -> DateTime<Utc> {
        time(self.sim.now())
    }

    fn remaining(&self) -> Duration {
        Duration::from_millis(self.deadline.saturating_sub(self.sim.now()))
    }

    async fn sleep(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        wait(&self.sim.agenda, self.sim.now() + millis).await;
    }
}
