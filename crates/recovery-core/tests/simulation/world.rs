//! The ports of a run: the fakes, with calls that take time, fail or terminate the process, and with
//! eventually consistent reads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use recovery_core::aws::arn::{DbClusterId, DbInstanceId, InstanceId, OpsItemId, VolumeId};
use recovery_core::aws::database::{CreateAnswer, DatabaseId, DbInstance};
use recovery_core::aws::ec2::{AttachAnswer, Instance, Volume};
use recovery_core::aws::instance::{RegisterAnswer, TargetHealth};
use recovery_core::aws::table::{ChangeAnswer, Table, TableStatus};
use recovery_core::error::{Error, Fault};
use recovery_core::event::backup::restore_to_integrate;
use recovery_core::fakes::{Call, Effect, Intercepted, Interceptor, World, answered};
use recovery_core::ops_item::{Claim, NewOpsItem, OpsItem};
use recovery_core::ports::Clock;

use crate::data_stores::{DataStore, StoreAct, creation};
use crate::executor::{Agenda, Millis, TaskId, lock, wait};
use crate::invariants::Ledger;
use crate::parties::{Act, Integrator, Invocation, Work, chance};
use crate::servers;
use crate::site_invariants;
use crate::sites::Sites;
use crate::store_invariants;

/// The time at the beginning.
pub(crate) fn beginning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_413_600, 0).unwrap_or_default()
}

/// The time at a moment of the simulation.
pub(crate) fn time(at: Millis) -> DateTime<Utc> {
    beginning() + TimeDelta::milliseconds(i64::try_from(at).unwrap_or(i64::MAX))
}

/// Faults and delays of a world, drawn for each seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Failed calls per thousand.
    pub(crate) faults: u32,
    /// The time after which no call fails.
    pub(crate) calm: Millis,
    /// Longest time until EC2 shows an attachment, RDS and DynamoDB a new resource, and Elastic Load Balancing a target.
    pub(crate) ec2_lag: Millis,
    /// Longest time until OpsCenter lists a new item.
    pub(crate) listing_lag: Millis,
    /// Longest time until a call has its effect.
    pub(crate) slowest_call: Millis,
}

/// The longest change of a database or a table.
const MODIFICATION: Millis = 60_000;

/// Whether the operation can change a database, a table, a target group or a parameter, or invokes an integrator.
fn is_of_data_store(operation: &str) -> bool {
    ["rds:", "dynamodb:", "elasticloadbalancing:", "lambda:"]
        .iter()
        .any(|service| operation.starts_with(service))
        || operation == "ssm:PutParameter"
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
    pub(crate) world: Arc<World>,
    /// The databases and tables that are restored in this world.
    pub(crate) stores: Vec<Arc<DataStore>>,
    /// The buckets and instances that are restored in it, with their stacks.
    pub(crate) sites: Arc<Sites>,
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
    /// When RDS shows an instance.
    database_shown: BTreeMap<DbInstanceId, Millis>,
    /// When DynamoDB shows a table.
    table_shown: BTreeMap<String, Millis>,
    /// When Elastic Load Balancing shows a target, by its group and its id.
    pub(crate) target_shown: BTreeMap<String, Millis>,
    /// When OpsCenter lists an item.
    listed: BTreeMap<OpsItemId, Millis>,
    trace: Option<Vec<String>>,
}

impl Sim {
    /// A world without anything in it.
    pub(crate) fn new(
        rng: Rng,
        weather: Weather,
        stores: Vec<Arc<DataStore>>,
        sites: Arc<Sites>,
        traced: bool,
    ) -> Sim {
        let world = World::new();
        world.state().jobs_on_a_page = Some(3);
        Sim {
            agenda: Arc::new(Mutex::new(Agenda::new())),
            world: Arc::new(world),
            stores,
            sites,
            inner: Mutex::new(Inner {
                rng,
                weather,
                ledger: Ledger::default(),
                volume_shown: BTreeMap::new(),
                device_shown: BTreeMap::new(),
                database_shown: BTreeMap::new(),
                table_shown: BTreeMap::new(),
                target_shown: BTreeMap::new(),
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

    /// Begins a table, which DynamoDB shows later.
    pub(crate) fn table_begins(&self, name: &str) {
        let now = self.now();
        let mut inner = self.inner();
        let lag = inner.weather.ec2_lag;
        let lag = inner.rng.u64(0..=lag);
        inner.table_shown.insert(name.to_owned(), now + lag);
    }

    /// Whether RDS does not show the instance yet.
    fn is_hidden(&self, instance: &DbInstance) -> bool {
        let shown = self.inner().database_shown.get(&instance.id).copied();
        shown.is_some_and(|shown| self.now() < shown)
    }

    /// Hides an attachment that EC2 does not show yet.
    fn show_volume(&self, volume: &mut Volume) {
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
    }

    /// Hides the devices that EC2 does not show yet.
    fn show_instance(&self, instance: &mut Instance) {
        let now = self.now();
        let inner = self.inner();
        let id = instance.id.clone();
        instance.devices.retain(|(_, volume)| {
            inner
                .device_shown
                .get(&(id.clone(), volume.clone()))
                .is_none_or(|shown| now >= *shown)
        });
    }
}

/// The ports of one run.
pub(crate) type Ports = Intercepted<Arc<World>, Run>;

/// One run, and what becomes of its calls.
pub(crate) struct Run {
    sim: Arc<Sim>,
    id: TaskId,
}

impl Run {
    /// The ports of the run with this id.
    pub(crate) fn ports(sim: Arc<Sim>, id: TaskId) -> Ports {
        Intercepted {
            ports: sim.world.clone(),
            interceptor: Run { sim, id },
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

    /// What is true of the call whatever it answers, right before it has its effect.
    fn before(&self, call: &Call<'_>) {
        let sim = &*self.sim;
        let now = sim.now();
        match call.effect {
            Effect::Attach(..) => {
                let lasting = sim.inner().rng.bool();
                sim.world.state().reads_until_attached = if lasting { usize::MAX } else { 0 };
            }
            Effect::Update(id, change) => {
                let was = {
                    let state = sim.world.state();
                    let stored = state.items.iter().find(|stored| stored.item.id == *id);
                    stored.and_then(|stored| stored.item.data.get("recovery:integration").cloned())
                };
                sim.inner()
                    .ledger
                    .updates(now, self.id, id, was.as_deref(), change);
                store_invariants::update(sim, id, was.as_deref(), change);
                site_invariants::update(sim, id, was.as_deref(), change);
            }
            Effect::Publish(notification) => sim.inner().ledger.told(now, self.id, notification),
            // What has no effect, such as a parameter that exists, is no write: see `after`.
            Effect::Other if is_of_data_store(call.operation) => {
                if let Some((group, instance)) = registration(call) {
                    site_invariants::registers(sim, group, &instance);
                }
            }
            Effect::Other => sim.inner().ledger.wrote(self.id),
            Effect::None | Effect::Create(_) => {}
        }
    }

    /// What follows from the answer, and what of it EC2 and OpsCenter do not show yet.
    fn after<T: 'static>(&self, call: &Call<'_>, answer: &mut T) {
        let sim = &*self.sim;
        match call.effect {
            Effect::Attach(volume, instance, device) => {
                if let Some(AttachAnswer::Accepted { .. }) = answered(answer) {
                    let lasting = sim.world.state().reads_until_attached > 0;
                    sim.attachment_begins(volume, instance, lasting);
                    let now = sim.now();
                    sim.inner()
                        .ledger
                        .attached(now, self.id, volume, instance, device);
                }
            }
            Effect::Create(new) => {
                if let Some(Claim::Created(id)) = answered(answer) {
                    self.created(new, id);
                }
            }
            Effect::Other => self.after_change(call, answer),
            _ => {}
        }
        if let Some(volume) = answered(answer) {
            sim.show_volume(volume);
        } else if let Some(volumes) = answered::<Vec<Volume>>(answer) {
            volumes
                .iter_mut()
                .for_each(|volume| sim.show_volume(volume));
        } else if let Some(instance) = answered(answer) {
            sim.show_instance(instance);
        } else if let Some(instances) = answered::<Vec<Instance>>(answer) {
            instances
                .iter_mut()
                .for_each(|instance| sim.show_instance(instance));
        } else if let Some(found) = answered::<Option<DbInstance>>(answer) {
            *found = found.take().filter(|instance| !sim.is_hidden(instance));
        } else if let Some(instances) = answered::<Vec<DbInstance>>(answer) {
            instances.retain(|instance| !sim.is_hidden(instance));
        } else if let Some(found) = answered::<Option<Table>>(answer) {
            let shown = sim.inner().table_shown.get(call.subject).copied();
            if shown.is_some_and(|shown| sim.now() < shown) {
                *found = None;
            }
        } else if let Some(found) = answered::<Option<TargetHealth>>(answer) {
            let shown = sim.inner().target_shown.get(call.subject).copied();
            if shown.is_some_and(|shown| sim.now() < shown) {
                *found = None;
            }
        } else if let Some(items) = answered::<Vec<OpsItem>>(answer) {
            let now = sim.now();
            let inner = sim.inner();
            items.retain(|item| inner.listed.get(&item.id).is_none_or(|at| now >= *at));
        }
    }

    /// What follows from a change of a database, a table, a target group or a parameter, and from an invocation.
    fn after_change<T: 'static>(&self, call: &Call<'_>, answer: &mut T) {
        let sim = &*self.sim;
        let now = sim.now();
        let later = |after: Millis, act: StoreAct| {
            lock(&sim.agenda).at(now + after, Act::Store(act));
        };
        let wrote = || sim.inner().ledger.wrote(self.id);
        match call.operation {
            "rds:CreateDBInstance" => {
                if let Some(CreateAnswer::Created) = answered(answer) {
                    wrote();
                    let id = DbInstanceId::new(call.subject);
                    store_invariants::created(sim, &id);
                    let mut inner = sim.inner();
                    let lag = inner.weather.ec2_lag;
                    let lag = inner.rng.u64(0..=lag);
                    inner.database_shown.insert(id.clone(), now + lag);
                    let can_fail = now < inner.weather.calm && inner.weather.faults > 0;
                    let (after, status) = creation(&mut inner.rng, can_fail);
                    drop(inner);
                    later(after, StoreAct::InstanceStatus(id, status));
                }
            }
            "rds:ModifyDBInstance" | "rds:ModifyDBCluster" => {
                wrote();
                let id = match call.operation {
                    "rds:ModifyDBInstance" => DatabaseId::Instance(DbInstanceId::new(call.subject)),
                    _ => DatabaseId::Cluster(DbClusterId::new(call.subject)),
                };
                let mut inner = sim.inner();
                let begins = inner.rng.u64(0..5_000);
                let ends = begins + inner.rng.u64(0..MODIFICATION);
                drop(inner);
                later(begins, StoreAct::ChangesBegin(id.clone()));
                later(ends, StoreAct::ChangesEnd(id));
            }
            "ssm:PutParameter" => {
                if answered(answer) != Some(&mut false) {
                    wrote();
                    if !site_invariants::published(sim, call.subject) {
                        store_invariants::published(sim, call.subject);
                    }
                }
            }
            "elasticloadbalancing:RegisterTargets" => {
                if let Some(RegisterAnswer::Registered) = answered(answer)
                    && let Some((group, instance)) = registration(call)
                {
                    wrote();
                    servers::registered(sim, group, &instance);
                }
            }
            "lambda:InvokeFunction" => self.invoked(),
            _ => {
                if let Some(ChangeAnswer::Accepted) = answered(answer) {
                    wrote();
                    let is_updating = {
                        let state = sim.world.state();
                        let table = state.tables.get(call.subject);
                        table.is_some_and(|it| it.table.status == TableStatus::Updating)
                    };
                    if is_updating {
                        let after = sim.inner().rng.u64(500..MODIFICATION);
                        later(after, StoreAct::TableActive(call.subject.to_owned()));
                    }
                }
            }
        }
    }

    /// Lambda runs the function that was invoked a moment later, and sometimes twice.
    fn invoked(&self) {
        let sim = &*self.sim;
        let now = sim.now();
        let Some((function, payload)) = sim.world.state().invocations.pop() else {
            return;
        };
        let integrator = match function.as_str() {
            "database-integrator" => Integrator::Database,
            "bucket-integrator" => Integrator::Bucket,
            "instance-integrator" => Integrator::Instance,
            _ => Integrator::Table,
        };
        let mut inner = sim.inner();
        let Ok(Ok(asked)) = restore_to_integrate(&payload) else {
            let violation = format!("{function} is invoked with {payload}");
            inner.ledger.violations.push(violation);
            return;
        };
        inner.ledger.invoked(now, &asked.job.id);
        let asked = Arc::new(asked);
        let times = if chance(&mut inner.rng, 3) { 2 } else { 1 };
        for _ in 0..times {
            let at = now + inner.rng.u64(20..5_000);
            let work = Work::Integrate(integrator, asked.clone());
            let attempt = 1;
            lock(&sim.agenda).at(at, Act::Invoke(Invocation { work, attempt }));
        }
    }

    fn created(&self, new: &NewOpsItem, id: &OpsItemId) {
        let sim = &*self.sim;
        let now = sim.now();
        let mut inner = sim.inner();
        let lag = inner.weather.listing_lag;
        let lag = inner.rng.u64(0..=lag);
        let older = sim.world.state().items.iter().any(|stored| {
            let at = inner.listed.get(&stored.item.id);
            stored.key == new.key && at.is_some_and(|at| now < *at)
        });
        if older {
            inner.ledger.unlisted.insert(id.clone());
        }
        inner.listed.insert(id.clone(), now + lag);
        inner.ledger.wrote(self.id);
    }
}

impl Interceptor for Run {
    async fn intercept<T, F>(&self, call: Call<'_>, make: impl Fn() -> F + Send) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let Call {
            operation, subject, ..
        } = call;
        let (fate, takes) = self.draw();
        let sim = &*self.sim;
        wait(&sim.agenda, sim.now() + takes).await;
        let fault = |code: &str| {
            Fault::new(operation, subject, "went wrong", "Nothing to do.").with_code(code)
        };
        let died = || {
            sim.note(|| format!("run {}: {}: {fate:?}", self.id, line(&call)));
            lock(&sim.agenda).condemn(self.id);
        };
        sim.inner().ledger.called(self.id, fate != Fate::Fine);
        if fate == Fate::Denied && is_of_data_store(operation) {
            sim.inner().ledger.denied.insert(subject.to_owned());
        }
        if fate == Fate::DiesBefore {
            died();
            return std::future::pending().await;
        }
        let answer = match fate {
            Fate::Refused(code) => Err(Error::Retryable(fault(code))),
            Fate::Denied => Err(Error::Permanent(fault("AccessDeniedException"))),
            _ => {
                self.before(&call);
                // The fakes never wait.
                let mut answer = make().await;
                if let Ok(answer) = &mut answer {
                    self.after(&call, answer);
                }
                answer
            }
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
            format!("run {}: {}: {fate:?}, {became}", self.id, line(&call))
        });
        match fate {
            Fate::Lost(code) => {
                // The client gave up waiting for it.
                let patience = sim.inner().rng.u64(1_000..20_000);
                wait(&sim.agenda, sim.now() + patience).await;
                answer?;
                Err(Error::Retryable(fault(code)))
            }
            _ => answer,
        }
    }
}

/// The target group and the instance of a registration.
fn registration<'a>(call: &Call<'a>) -> Option<(&'a str, InstanceId)> {
    let (group, instance) = call.subject.split_once(' ')?;
    let is_one = call.operation == "elasticloadbalancing:RegisterTargets";
    is_one.then(|| (group, InstanceId::new(instance)))
}

/// The call on one line of the trace.
fn line(call: &Call<'_>) -> String {
    let what = match call.effect {
        Effect::Attach(volume, instance, device) => format!("{volume} to {instance} as {device}"),
        Effect::Update(id, change) => format!(
            "{id} {}{}",
            change
                .status
                .map_or(String::new(), |status| format!("{status:?} ")),
            change.title.as_deref().unwrap_or_default()
        ),
        Effect::Publish(notification) => notification.subject.clone(),
        _ => call.subject.to_owned(),
    };
    format!("{} {what}", call.operation)
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
