//! Integrates every recent restore that is not integrated, with the same code as its event
//! ([`integration`](crate::integrate::volume::run)): for example because its event was lost, its stack was deployed late,
//! or its retries were exhausted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::aws::arn::{RecoveryPointArn, VolumeId};
use crate::aws::backup::{EBS, Restore, RestoreJob};
use crate::aws::ec2::{AttachmentState, Volume};
use crate::error::Error;
use crate::integrate::backoff::RESERVE;
use crate::integrate::kind::FAILING;
use crate::integrate::mount::is_unfinished;
use crate::integrate::record::{TAGS_FROM, Trigger};
use crate::integrate::run_invoke::{Integrators, invoke_integrators};
use crate::integrate::run_tags::tags_of;
use crate::integrate::skip::{Ownership, skip_reason};
use crate::integrate::volume::kind::{EBS_VOLUME, MOUNTED_VOLUME};
use crate::integrate::volume::run::{
    Observed, integrate, integrate_observed, record_attach_failure,
};
use crate::ops_item::restore_key;
use crate::ops_item::{INTEGRATION, says};
use crate::ops_item::{KEY, OpsItem, RESTORE};
use crate::outcome::Outcome;
use crate::ports::{
    Clock, IntegrationPorts, OpsItems, Page, ReconciliationPorts, RecoveryPointTags, RestoreJobs,
    Volumes,
};
use crate::tags::{Tags, integration_target};

/// Which restores are reconciled, and when operators are notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookbackWindow {
    /// Restores that completed longer ago are ignored.
    pub lookback: TimeDelta,
    /// Operators are notified of a retryable failure only if the restore is older than this.
    pub patience: TimeDelta,
    /// Time between two runs. After it, a run starts no more integrations.
    pub interval: Duration,
}

impl LookbackWindow {
    /// Whether operators are notified of a failure of a restore of this age, if OpsCenter's quota is used up, so that no
    /// OpsItem records the notification. Only the one or two runs right after `patience` notify.
    fn tells_unrecorded(&self, age: TimeDelta) -> bool {
        let told_within = TimeDelta::from_std(self.interval * 2).unwrap_or(TimeDelta::MAX);
        age >= self.patience && age - self.patience < told_within
    }
}

/// Restores that are integrated concurrently. EC2 accepts 50 calls of `AttachVolume` at once, and then 5 per second, in an
/// account and Region. The integration retries throttled calls:
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html>.
const CONCURRENCY: usize = 8;
/// Volumes and snapshots in one call: the most values that EC2 accepts in a filter.
const BATCH: usize = 200;
/// The time limit for one restore: 30 s to wait, because the next run retries it, and the reserve that the integration
/// keeps.
const TIME_LIMIT: Duration = RESERVE.saturating_add(Duration::from_secs(30));

/// The longest time from the creation of a restore job to its end. Running jobs are listed only by their creation
/// time.
const LONGEST_RESTORE: TimeDelta = TimeDelta::hours(24);
/// Pause before the restores are listed again, while one of them is running. The shortest interval of a scheduled rule is
/// one minute.
const LISTING_PAUSE: Duration = Duration::from_secs(15);

/// Integrates every completed restore of a volume of the lookback window that is not integrated yet, and invokes
/// the integrators of the other types. A failure does not stop the others. While a restore is running, the restores
/// are listed repeatedly until the next run begins, so that a volume does not wait a minute. The answer counts the
/// results.
///
/// # Errors
/// Those of the listing. A failure of one restore is recorded in its OpsItem, and operators are notified. It is an error
/// only if that fails, too.
pub async fn reconcile(
    ports: &impl ReconciliationPorts,
    clock: &impl Clock,
    ownership: &Ownership,
    integrators: &Integrators,
    window: LookbackWindow,
) -> Result<Outcome, Error> {
    let run = Run {
        clock,
        window,
        left_at_the_start: clock.remaining(),
    };
    let mut listed = listing(ports, clock, ownership, window).await?;
    let mut attended = BTreeSet::new();
    let mut tally = Tally::default();
    let (jobs, since) = (std::mem::take(&mut listed.others), listed.since);
    match invoke_integrators(
        ports,
        clock,
        ownership,
        integrators,
        jobs,
        &listed.items,
        since,
    )
    .await
    {
        Ok(0) => {}
        Ok(invoked) => *tally.counts.entry("invoked").or_default() += invoked,
        Err(error) => tally.unreported = Some(error),
    }
    loop {
        let mut open = std::mem::take(&mut listed.open);
        open.retain(|open| attended.insert(open.restore.job.id.clone()));
        // Restores that failed before come last, and older ones come before newer ones.
        open.sort_by_key(|open| (open.stuck, open.restore.job.completed));
        attend(ports, &run, ownership, open, &mut tally).await;
        if !listed.is_running || !run.may_begin_after(LISTING_PAUSE) {
            break;
        }
        clock.sleep(LISTING_PAUSE).await;
        listed = match listing(ports, clock, ownership, window).await {
            Ok(listed) => listed,
            // The next run lists the restores.
            Err(Error::Retryable(_)) => break,
            Err(error) => return Err(error),
        };
    }
    let outcome = tally.counts.iter().fold(
        Outcome::reconciled().with_count("restores", listed.restores),
        |outcome, (name, count)| outcome.with_count(name, *count),
    );
    match tally.unreported {
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

/// One run. It ends when the next one begins, or when its time is used up.
struct Run<'a, C> {
    clock: &'a C,
    window: LookbackWindow,
    left_at_the_start: Duration,
}

impl<C: Clock> Run<'_, C> {
    /// Whether there is time for one more restore after this pause.
    fn may_begin_after(&self, pause: Duration) -> bool {
        let left = self.clock.remaining();
        let taken = self.left_at_the_start.saturating_sub(left);
        taken + pause < self.window.interval && left >= TIME_LIMIT + pause
    }
}

/// The result of listing the restores.
struct Listing {
    /// The number of restores that completed in the lookback window.
    restores: usize,
    /// Whether a volume to integrate is still being restored.
    is_running: bool,
    open: Vec<Open>,
    /// Jobs of other resource types that completed in the lookback window.
    others: Vec<RestoreJob>,
    /// Jobs that were created before are not listed.
    since: DateTime<Utc>,
    /// The open OpsItems of restores, by key.
    items: BTreeMap<String, OpsItem>,
}

async fn listing(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    ownership: &Ownership,
    window: LookbackWindow,
) -> Result<Listing, Error> {
    let completed_since = clock.now() - window.lookback;
    let since = completed_since - LONGEST_RESTORE;
    let (first, items) = try_join(
        ports.restore_jobs().list(None, since, None),
        ports.ops_items().list_open(RESTORE),
    )
    .await?;
    let items: BTreeMap<String, OpsItem> = items
        .into_iter()
        .filter_map(|item| Some((item.data.get(KEY)?.clone(), item)))
        .collect();
    let mut listing = Listing {
        restores: 0,
        is_running: false,
        open: Vec::new(),
        others: Vec::new(),
        since,
        items,
    };
    let mut page = first;
    loop {
        let Page { listed, next } = page;
        // A job whose type is unknown is treated as that of a volume: its description has the type.
        let (volumes, others): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .partition(|job| job.resource_type.as_deref().is_none_or(|name| name == EBS));
        listing.is_running |= volumes.iter().any(|job| is_running(ownership, job));
        let is_recent = |job: &RestoreJob| {
            let in_time = |completed| completed >= completed_since;
            job.is_completed() && job.completed.is_none_or(in_time)
        };
        listing.others.extend(others.into_iter().filter(is_recent));
        let mut recent = volumes.into_iter().filter(is_recent);
        loop {
            let batch: Vec<RestoreJob> = recent.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            listing.restores += batch.len();
            let open = not_integrated(ports, ownership, batch, &listing.items).await?;
            listing.open.extend(open);
        }
        let Some(next) = next else { break };
        page = ports.restore_jobs().list(None, since, Some(&next)).await?;
    }
    Ok(listing)
}

/// Whether the job is running and its volume will be integrated.
fn is_running(ownership: &Ownership, job: &RestoreJob) -> bool {
    job.is_running() && !job.restore_test && job.is_of_drill(&ownership.drill_role) != Some(true)
}

/// A restore that is not known to be integrated.
struct Open {
    restore: Restore,
    /// Its volume and the tags of its recovery point; `None` if the listing lacks a field that is needed to read them.
    seen: Option<Seen>,
    /// Whether its OpsItem is open and records an attempt that has not ended.
    stuck: bool,
}

struct Seen {
    volume: Volume,
    point: RecoveryPointArn,
    /// `None` if they must be read separately.
    tags: Option<Tags>,
}

/// The jobs that are not integrated. Makes at most two calls. `items` are the open OpsItems of restores, by key.
async fn not_integrated(
    ports: &impl IntegrationPorts,
    ownership: &Ownership,
    jobs: Vec<RestoreJob>,
    items: &BTreeMap<String, OpsItem>,
) -> Result<Vec<Open>, Error> {
    let restores: Vec<Restore> = jobs
        .into_iter()
        .map(Restore::from)
        .filter(|restore| skip_reason(ownership, &EBS_VOLUME, restore).is_none())
        .collect();
    let ids: Vec<VolumeId> = restores
        .iter()
        .filter_map(|restore| restore.job.created_volume())
        .collect();
    let mut volumes = BTreeMap::new();
    if !ids.is_empty() {
        for volume in ports.volumes().list(&ids).await? {
            volumes.insert(volume.id.clone(), volume);
        }
    }
    let mut open = Vec::new();
    for mut restore in restores {
        let item = items.get(restore_key(&restore.job.id).as_str());
        restore.planned.tags_from = item
            .and_then(|item| item.data.get(TAGS_FROM))
            .and_then(|arn| RecoveryPointArn::parse(arn).ok());
        let Restore { job, .. } = &restore;
        let recorded = item.is_some_and(|item| says(item, INTEGRATION, EBS_VOLUME.integrated));
        let stuck = !recorded && item.is_some_and(|item| item.data.contains_key(INTEGRATION))
            || item.is_some_and(|item| says(item, MOUNTED_VOLUME.state_key, FAILING));
        let (Some(id), Some(created), Some(point)) = (
            job.created_volume(),
            &job.created_resource,
            &job.recovery_point,
        ) else {
            open.push(Open {
                restore,
                seen: None,
                stuck,
            });
            continue;
        };
        // The volume was deleted, or is in another account or Region.
        let Some(volume) = volumes
            .remove(&id)
            .filter(|_| ownership.scope.owns(created))
        else {
            continue;
        };
        let attached = volume
            .attachments
            .iter()
            .any(|a| a.state == AttachmentState::Attached);
        let mounts = item.is_some_and(is_unfinished);
        // If the item is open and does not say so, the attachment was not recorded.
        let settled = item.is_none() || recorded && !mounts;
        if volume.restore_test || attached && settled {
            continue;
        }
        let seen = Seen {
            volume,
            point: point.clone(),
            tags: None,
        };
        // Without its role, the job must be described first.
        let seen = job.iam_role.is_some().then_some(seen);
        open.push(Open {
            restore,
            seen,
            stuck,
        });
    }
    let points: Vec<RecoveryPointArn> = open
        .iter()
        .filter_map(|open| Some(open.seen.as_ref()?.point.clone()))
        .collect();
    if !points.is_empty() {
        let tags = ports.recovery_point_tags().list_together(&points).await?;
        for open in &mut open {
            // The few restores with tags of another recovery point are read separately.
            let alone = open.restore.planned.tags_from.is_some();
            if let Some(seen) = open.seen.as_mut().filter(|_| !alone) {
                seen.tags = tags.get(&seen.point).cloned();
            }
        }
    }
    // Restores without a target in their tags are never integrated.
    open.retain(|open| {
        let tags = open.seen.as_ref().and_then(|seen| seen.tags.as_ref());
        tags.is_none_or(|tags| !matches!(integration_target(tags), Ok(None)))
    });
    Ok(open)
}

/// The results.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<&'static str, usize>,
    /// The last failure that could not be recorded and notified.
    unreported: Option<Error>,
}

/// Integrates the open restores, several concurrently, while there is time for one more.
async fn attend<C: Clock>(
    ports: &impl IntegrationPorts,
    run: &Run<'_, C>,
    ownership: &Ownership,
    open: Vec<Open>,
    tally: &mut Tally,
) {
    let mut waiting = open.into_iter();
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < CONCURRENCY && run.may_begin_after(Duration::ZERO) {
            let Some(open) = waiting.next() else { break };
            running.push(integrate_one(ports, run.clock, ownership, run.window, open));
        }
        let Some(became) = running.next().await else {
            break;
        };
        match became {
            Ok(name) => *tally.counts.entry(name).or_default() += 1,
            Err(error) => tally.unreported = Some(error),
        }
    }
    let left = waiting.len();
    if left > 0 {
        *tally.counts.entry("left").or_default() += left;
    }
}

/// Integrates one restore. Returns the name of the result in the answer.
async fn integrate_one(
    ports: &impl IntegrationPorts,
    clock: &impl Clock,
    ownership: &Ownership,
    window: LookbackWindow,
    open: Open,
) -> Result<&'static str, Error> {
    let Open {
        mut restore, seen, ..
    } = open;
    // A job without an end time counts as old.
    let age = restore
        .job
        .completed
        .map_or(TimeDelta::MAX, |completed| clock.now() - completed);
    restore.tells_unrecorded = window.tells_unrecorded(age);
    let limited = LimitedClock {
        clock,
        left_at_the_start: clock.remaining(),
    };
    let integrated = match seen {
        Some(Seen { volume, tags, .. }) => {
            let tags = match tags {
                Some(tags) => Ok(tags),
                None => tags_of(ports, &restore.job, restore.planned.tags_from.as_ref()).await,
            };
            let id = volume.id.clone();
            let observed = Observed {
                id: &id,
                tags,
                volume: Ok(volume),
            };
            integrate_observed(ports, &limited, &restore, observed, Trigger::Reconciler).await
        }
        None => integrate(ports, &limited, ownership, restore.clone()).await,
    };
    let error = match integrated {
        Ok(outcome) => {
            return Ok(match outcome.kind() {
                "integrated" => "integrated",
                "already-integrated" => "alreadyIntegrated",
                "refused" => "refused",
                "pending" => "mounting",
                _ => "ignored",
            });
        }
        Err(error) => error,
    };
    match error {
        Error::Retryable(_) if age < window.patience => Ok("waiting"),
        Error::Retryable(fault) | Error::Permanent(fault) => {
            record_attach_failure(ports, &restore, &fault).await?;
            Ok("failing")
        }
    }
}

/// The clock of one restore, with its own time limit.
struct LimitedClock<'a, C> {
    clock: &'a C,
    left_at_the_start: Duration,
}

impl<C: Clock> Clock for LimitedClock<'_, C> {
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }

    fn remaining(&self) -> Duration {
        let left = self.clock.remaining();
        let taken = self.left_at_the_start.saturating_sub(left);
        TIME_LIMIT.saturating_sub(taken).min(left)
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        self.clock.sleep(duration)
    }
}
