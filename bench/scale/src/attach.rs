//! Many restores at once, until every volume is attached.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{FuturesUnordered, StreamExt};
use recovery_core::aws::arn::{InstanceId, Scope};
use recovery_core::aws::backup::RestoreJob;
use recovery_core::aws::cloudformation::StackResource;
use recovery_core::aws::ec2::Instance;
use recovery_core::fakes::{DRILL_ROLE, FakeClock, World};
use recovery_core::integrate::run_invoke::Integrators;
use recovery_core::integrate::run_reconcile::{LookbackWindow, reconcile};
use recovery_core::integrate::skip::Ownership;
use recovery_core::integrate::volume::run::integrate;
use recovery_core::ports::Clock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use crate::region::{Counts, Quotas, Region, RunClock};

/// The functions' time, by template.yaml.
const FUNCTION_TIME: Duration = Duration::from_secs(300);
/// Pauses before Lambda's second and third attempt at an event.
const PAUSES: [u64; 2] = [60, 120];
/// Invocations at a time: the quota of an account that never asked for more.
const CONCURRENCY: usize = 1000;
/// Time between two runs of the reconciler.
const PERIOD: Duration = Duration::from_secs(60);

/// Restore jobs on a page of AWS Backup's listing.
const PAGE: usize = 1000;

/// What it took.
pub(crate) struct Took {
    time: Duration,
    counts: Counts,
    runs: usize,
    /// Of events: restores that were left to the reconciler. Of the schedule: calls of a run when all is
    /// done.
    rest: usize,
}

impl Took {
    pub(crate) fn row(&self, restores: usize) -> String {
        format!(
            "| {restores} | {:.1} s | {} | {:.1} | {} | {} | {} |\n",
            self.time.as_secs_f64(),
            self.counts.calls,
            self.counts.calls as f64 / restores as f64,
            self.counts.refused,
            self.runs,
            self.rest,
        )
    }
}

/// An event for each restore, all at the same moment.
pub(crate) fn by_events(restores: usize) -> Took {
    in_virtual_time(async {
        let world = world(restores);
        let region = Quotas::of(&world);
        let epoch = epoch();
        let slots = Semaphore::new(CONCURRENCY);
        let jobs: Vec<RestoreJob> = world.state().restore_jobs.values().cloned().collect();
        let mut events: FuturesUnordered<_> = jobs
            .into_iter()
            .map(|job| deliver(&region, &slots, epoch, job))
            .collect();
        let (mut runs, mut rest) = (0, 0);
        let mut last = epoch.0;
        while let Some((invocations, done)) = events.next().await {
            runs += invocations;
            match done {
                Some(at) => last = last.max(at),
                None => rest += 1,
            }
        }
        drop(events);
        if rest > 0 {
            last = run_until_all_is_attached(&region, &world, restores, epoch)
                .await
                .1;
        }
        assert_eq!(world.attachments_made(), restores, "all are attached, once");
        Took {
            time: last - epoch.0,
            counts: region.counts(),
            runs,
            rest,
        }
    })
}

/// Delivers the event of `job` as Lambda does: how many invocations it took, and when it was done.
async fn deliver(
    region: &Region<'_>,
    slots: &Semaphore,
    epoch: (Instant, DateTime<Utc>),
    job: RestoreJob,
) -> (usize, Option<Instant>) {
    for invocation in 1..=3 {
        let slot = slots.acquire().await;
        let clock = RunClock::new(FUNCTION_TIME, epoch);
        let answer = integrate(region, &clock, &ownership(), job.clone()).await;
        drop(slot);
        match (answer, PAUSES.get(invocation - 1)) {
            (Ok(_), _) => return (invocation, Some(Instant::now())),
            (Err(_), Some(pause)) => sleep(Duration::from_secs(*pause)).await,
            (Err(_), None) => return (invocation, None),
        }
    }
    (3, None)
}

/// No event at all.
pub(crate) fn by_schedule(restores: usize) -> Took {
    in_virtual_time(async {
        let world = world(restores);
        let region = Quotas::of(&world);
        let epoch = epoch();
        let (runs, last) = run_until_all_is_attached(&region, &world, restores, epoch).await;
        let counts = region.counts();
        run(&region, epoch).await;
        Took {
            time: last - epoch.0,
            counts,
            runs,
            rest: region.counts().calls - counts.calls,
        }
    })
}

/// Runs the reconciler every minute: how often, and when the last volume was attached.
async fn run_until_all_is_attached(
    region: &Region<'_>,
    world: &World,
    restores: usize,
    epoch: (Instant, DateTime<Utc>),
) -> (usize, Instant) {
    let mut runs = 0;
    loop {
        let begun = Instant::now();
        run(region, epoch).await;
        runs += 1;
        if world.attachments_made() == restores {
            return (runs, Instant::now());
        }
        sleep_until(begun + PERIOD).await;
    }
}

async fn run(region: &Region<'_>, epoch: (Instant, DateTime<Utc>)) {
    let clock = RunClock::new(FUNCTION_TIME, epoch);
    let window = LookbackWindow {
        lookback: TimeDelta::hours(24),
        patience: TimeDelta::hours(12),
        interval: PERIOD,
    };
    // What it could not do is left to the next run.
    let _ = reconcile(region, &clock, &ownership(), &integrators(), window).await;
}

fn in_virtual_time<T>(run: impl Future<Output = T>) -> T {
    #[expect(
        clippy::expect_used,
        reason = "without a runtime there is nothing to measure"
    )]
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be made")
        .block_on(run)
}

/// The virtual moment at which all restores are completed, and its date.
fn epoch() -> (Instant, DateTime<Utc>) {
    (Instant::now(), FakeClock::new().now())
}

fn integrators() -> Integrators {
    Integrators {
        database: "database-integrator".to_owned(),
        table: "table-integrator".to_owned(),
        file_system: "file-system-integrator".to_owned(),
    }
}

fn ownership() -> Ownership {
    Ownership {
        scope: Scope {
            account: "111122223333".to_owned(),
            region: "us-west-2".to_owned(),
        },
        drill_role: DRILL_ROLE.to_owned(),
    }
}

/// Completed restores, each with an instance of its own, tracked by opsitem-creator.
fn world(restores: usize) -> World {
    let world = World::new();
    world.state().jobs_on_a_page = Some(PAGE);
    for n in 0..restores {
        let (name, logical_id) = (format!("{n:05}"), format!("Server{n}"));
        world.add_restored_volume(&name, &[("recovery:logical-id", &logical_id)]);
        let mut state = world.state();
        let id = InstanceId::new(format!("i-{n}"));
        state.stack_resources.insert(
            ("shop".to_owned(), logical_id),
            StackResource {
                resource_type: "AWS::EC2::Instance".to_owned(),
                physical_id: Some(id.as_str().to_owned()),
                status: "CREATE_COMPLETE".into(),
            },
        );
        let instance = Instance {
            id: id.clone(),
            state: "running".into(),
            zone: "us-west-2a".to_owned(),
            devices: Vec::new(),
        };
        state.instances.insert(id, instance);
    }
    world
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EC2 allows a burst of 50 attachments and then 5 per second. The integration takes less than twice
    /// as long.
    #[test]
    fn attaches_as_fast_as_the_quota_allows() {
        let few = by_events(10);
        assert_eq!((few.runs, few.rest, few.counts.refused), (10, 0, 0));
        let many = by_events(300);
        let least = Duration::from_secs((300 - 50) / 5);
        assert!(
            many.time >= least && many.time < least * 2,
            "{:?}",
            many.time
        );
        assert_eq!(
            (many.runs, many.rest),
            (300, 0),
            "no run fails because of throttling"
        );
        let scheduled = by_schedule(100);
        assert_eq!((scheduled.runs, scheduled.rest), (1, 3));
    }
}
