//! Checks a restored bucket: whether it is the one that the tags name, and whether AWS Backup reports missing objects.
//! Its name is published, and the result is recorded.
//!
//! Nothing in S3 is changed, so it can be repeated, and run twice at the same time. A completed job can have left
//! objects out: its message is the only sign, and an event can lack it, so the job is always read.

use std::cell::Cell;

use futures_util::future::{join, join4};

use crate::aws::backup::Restore;
use crate::aws::bucket::{Restored, bucket_name};
use crate::error::Error;
use crate::integrate::bucket::kind::{PARTIAL, S3_BUCKET};
use crate::integrate::bucket::record::{Complete, answer, records_all};
use crate::integrate::bucket::refusal::BucketRefusal;
use crate::integrate::publish::Publication;
use crate::integrate::record::{Hindrance, TAGS_FROM};
use crate::integrate::run_job::{Admission, admit};
use crate::integrate::run_publish::{Publishing, publish};
use crate::integrate::run_record::{
    record_data, record_failure, record_partial, record_result, record_untagged, refuse,
};
use crate::integrate::run_tags::tags_of;
use crate::integrate::skip::{Ownership, check_drill_stack, check_inside_drill, drill_name};
use crate::ops_item::restore_key;
use crate::ops_item::run::first_of;
use crate::outcome::Outcome;
use crate::plan::bucket::target;
use crate::plan::item::BucketTarget;
use crate::plan::restore_metadata::stored;
use crate::ports::{BucketIntegrationPorts, Buckets, Clock, RestoreJobs};
use crate::reference::BUCKET;
use crate::reference::run::References;
use crate::tags::{LOGICAL_ID, PUBLISH, STACK, UnusableTag, WORKLOAD, value};

/// What the deployment permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    /// The account, Region and drill role that this deployment may act on.
    pub ownership: Ownership,
    /// The path, with a slash at its end, below which addresses are published.
    pub publish_path: String,
}

/// Integrates a restore. Fields of its job that the event lacks are read from AWS Backup.
///
/// A bucket that a drill restored into is only integrated if that drill asks for it.
///
/// # Errors
/// [`Error::Retryable`] if a call failed that can succeed later; [`Error::Permanent`] if a call cannot
/// succeed. A refusal is not an error, because retrying cannot help: operators are notified, or the answer
/// contains the remedy.
pub async fn integrate(
    ports: &impl BucketIntegrationPorts,
    clock: &impl Clock,
    config: &BucketConfig,
    restore: impl Into<Restore>,
) -> Result<Outcome, Error> {
    let BucketConfig {
        ownership,
        publish_path,
    } = config;
    let admission = admit(ports.restore_jobs(), ownership, &S3_BUCKET, restore.into()).await?;
    let (mut restore, created) = match admission {
        Admission::Integrate { restore, created } => (restore, created),
        Admission::Skip(outcome) => return Ok(outcome),
    };
    let Some(bucket) = bucket_name(&created) else {
        return Ok(Outcome::ignored("resource-type"));
    };
    let ignored = |reason| Ok(Outcome::ignored(reason).with("bucket", bucket));
    let drill = drill_name(&restore)?.map(str::to_owned);
    // The item of the plan comes with each request; only the reconciler needs the record.
    if let Some(from) = &restore.planned.tags_from {
        record_data(ports.ops_items(), &restore, TAGS_FROM, from.as_str()).await?;
    }
    let id = restore.job.id.clone();
    let (tags, job, metadata, item) = join4(
        tags_of(ports, &restore.job, restore.planned.tags_from.as_ref()),
        ports.restore_jobs().describe(&id),
        ports.restore_jobs().metadata(&id),
        first_of(ports.ops_items(), &restore_key(&id)),
    )
    .await;
    let (tags, metadata) = (tags?, metadata?);
    restore.job = restore.job.completed_from(job?)?;
    let restore = &*restore;
    let refused = async |refusal| refuse(ports, &S3_BUCKET, restore, &refusal).await;
    if ![WORKLOAD, LOGICAL_ID, PUBLISH]
        .iter()
        .any(|tag| value(&tags, tag).is_some())
    {
        record_untagged(ports.ops_items(), &S3_BUCKET, restore).await?;
        return ignored("untagged");
    }
    if let Err(outcome) = check_drill_stack(restore, value(&tags, STACK)) {
        return Ok(outcome);
    }
    let source = restore.job.source_resource.as_ref().unwrap_or(&created);
    let (mut target, mut unusable) = match target(&tags, source) {
        Ok(read) => read,
        Err(refusal) => return refused(BucketRefusal::Tags(refusal)).await,
    };
    // A person can restore single objects.
    if stored(&metadata, "ItemsToRestore").is_some() && target.prefixes.is_empty() {
        return ignored("partial-restore");
    }
    if let Some(drill) = &restore.drill {
        if let Err(outcome) = check_inside_drill(restore, std::iter::once(&target.bucket)) {
            return Ok(outcome);
        }
        if let Some(stack) = &mut target.stack {
            stack.clone_from(&drill.stack);
        }
    }
    let publication =
        Publication::of(&tags, publish_path, drill.as_deref()).unwrap_or_else(|tag| {
            unusable.push(tag);
            None
        });
    let item = item?;
    // Only another restore job restores the objects.
    let gone = BucketRefusal::Gone {
        bucket: bucket.to_owned(),
    };
    let hindrance = Hindrance::refused(&S3_BUCKET, restore, &gone);
    if item
        .as_ref()
        .is_some_and(|item| hindrance.is_recorded(&S3_BUCKET, item))
    {
        return refused(gone).await;
    }
    match check(ports, bucket, &target).await? {
        Check::Passed => {}
        Check::Refused(refusal) => return refused(refusal).await,
        Check::Pending(what) => {
            return Ok(Outcome::pending(what)
                .with("restoreJobId", id.as_str())
                .with("bucket", bucket));
        }
    }
    let restored = restore.job.restored().unwrap_or(Restored::Partial);
    let message = || restore.job.status_message.clone().unwrap_or_default();
    if restored == Restored::NoObjects && !target.prefixes.is_empty() {
        let refusal = BucketRefusal::NothingRestored {
            bucket: bucket.to_owned(),
            prefixes: target.prefixes,
            message: message(),
        };
        return record_partial(ports, &S3_BUCKET, restore, &refusal, PARTIAL)
            .await
            .map(|outcome| outcome.with("bucket", bucket));
    }
    let left: Vec<String> = unusable.iter().map(UnusableTag::left_to_do).collect();
    if let Some(item) = item.filter(|item| records_all(item, bucket) && left.is_empty()) {
        let done = Outcome::already_integrated();
        return Ok(answer(done, bucket, &restore.job, Some(&item.id)));
    }
    let mut publishing = Publishing::default();
    if let Some(publication) = &publication {
        let values = [("name", bucket.to_owned()), ("arn", created.to_string())];
        publishing = match publish(ports, restore, publication, &values).await {
            Ok(published) => published,
            Err(error) => return Err(recorded(ports, restore, error).await),
        };
    }
    if restored == Restored::Partial {
        let refusal = BucketRefusal::Partial {
            bucket: bucket.to_owned(),
            message: message(),
            published: publication.as_ref().map(|it| it.path().to_owned()),
        };
        return record_partial(ports, &S3_BUCKET, restore, &refusal, PARTIAL)
            .await
            .map(|outcome| outcome.with("bucket", bucket));
    }
    let complete = Complete {
        bucket,
        restored,
        metadata: &metadata,
        publication: publication.as_ref(),
        replaced: &publishing.replaced,
        left,
    };
    let now = clock.now();
    let was_recorded = Cell::new(false);
    let item = record_result(
        ports,
        restore,
        publishing.written,
        None,
        |item| {
            was_recorded.set(complete.is_recorded(item));
            was_recorded.get()
        },
        |item| complete.change(restore, item, now),
    )
    .await?;
    let outcome = match publishing.written || !was_recorded.get() {
        true => Outcome::integrated(),
        false => Outcome::already_integrated(),
    };
    Ok(answer(outcome, bucket, &restore.job, item.as_ref()))
}

/// Whether the bucket exists and is the one that the tags name.
enum Check {
    Passed,
    Refused(BucketRefusal),
    /// The stack of the bucket does not exist yet.
    Pending(String),
}

async fn check(
    ports: &impl BucketIntegrationPorts,
    bucket: &str,
    target: &BucketTarget,
) -> Result<Check, Error> {
    let mut references = References::new(ports, target.stack.as_deref());
    let (exists, wanted) = join(
        ports.buckets().is_versioned(bucket),
        references.find(&target.bucket, &BUCKET),
    )
    .await;
    let wanted = wanted?;
    if exists?.is_none() {
        return Ok(Check::Refused(BucketRefusal::Gone {
            bucket: bucket.to_owned(),
        }));
    }
    Ok(match (references.refused, wanted) {
        (Some(refusal), _) => Check::Refused(BucketRefusal::Reference(refusal)),
        (None, None) => Check::Pending(references.awaited.join(", ")),
        (None, Some(wanted)) if wanted == bucket => Check::Passed,
        (None, Some(wanted)) => Check::Refused(BucketRefusal::Other {
            bucket: bucket.to_owned(),
            wanted,
        }),
    })
}

/// The error, after it was recorded and operators were notified if no later run can succeed either: a change that
/// failed permanently.
async fn recorded(ports: &impl BucketIntegrationPorts, restore: &Restore, error: Error) -> Error {
    let fault = match error {
        Error::Permanent(fault) if !fault.is_read_only() => fault,
        other => return other,
    };
    let is_disconnected = async || Ok(true);
    match record_failure(ports, &S3_BUCKET, restore, &fault, is_disconnected).await {
        Err(later @ Error::Retryable(_)) => later,
        Ok(()) | Err(Error::Permanent(_)) => Error::Permanent(fault),
    }
}
