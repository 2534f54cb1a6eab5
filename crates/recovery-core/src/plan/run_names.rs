//! Names of databases and tables that are in use in the recovery Region.

use chrono::{DateTime, Utc};

use crate::aws::arn::{Arn, DbClusterId, DbInstanceId};
use crate::aws::backup::RestoreJob;
use crate::aws::database::{DbInstance, DbStatus};
use crate::aws::table::TableStatus;
use crate::error::Error;
use crate::plan::item::{Item, Refused};
use crate::plan::name_claims::{claim, instances};
use crate::plan::names::NameKind;
use crate::plan::refusal::ItemRefusal;
use crate::ports::{
    Clock, DataStorePorts, DbClusters, DbInstances, Page, PlanningPorts, RestoreJobs, Tables,
};

/// The most names that the planner checks. The restore checks again.
const CHECKED: usize = 100;

/// The database or table that has a name.
pub(crate) struct Holder {
    pub(crate) arn: Arn,
    /// Whether AWS is deleting it, so that the name becomes free.
    pub(crate) is_deleting: bool,
}

/// The database or table that has this name.
///
/// # Errors
/// Those of the ports.
pub(crate) async fn holder(
    ports: &impl DataStorePorts,
    kind: NameKind,
    name: &str,
) -> Result<Option<Holder>, Error> {
    let database = |arn: String, status: &DbStatus| {
        Ok(Holder {
            arn: Arn::parse(&arn)?,
            is_deleting: *status == DbStatus::Deleting,
        })
    };
    match kind {
        NameKind::DbInstance => {
            let id = DbInstanceId::new(name);
            let found = ports.db_instances().describe(&id).await?;
            found.map(|it| database(it.arn, &it.status)).transpose()
        }
        NameKind::DbCluster => {
            let id = DbClusterId::new(name);
            let found = ports.db_clusters().describe(&id).await?;
            found.map(|it| database(it.arn, &it.status)).transpose()
        }
        NameKind::Table => Ok(ports.tables().describe(name).await?.map(|table| Holder {
            is_deleting: table.status == TableStatus::Deleting,
            arn: table.arn,
        })),
    }
}

/// Whether the job restored this resource from the item's recovery point, or may be doing so.
pub(crate) fn is_restored_by(job: &RestoreJob, point: &str, resource: &Arn) -> bool {
    let is_of_point = job.points().any(|it| it.as_str() == point);
    is_of_point
        && !job.restore_test
        && !job.has_failed()
        && job
            .created_resource
            .as_ref()
            .map_or(job.is_running(), |created| created == resource)
}

/// Refuses the items whose names are in use by something that was not restored from the same recovery point, and
/// the clusters whose instances would get names that are in use by instances of others.
///
/// # Errors
/// Those of the ports.
pub(super) async fn refuse_taken(
    ports: &impl PlanningPorts,
    clock: &impl Clock,
    reserve: std::time::Duration,
    items: Vec<Item>,
) -> Result<(Vec<Item>, Vec<Refused>), Error> {
    let mut kept = Vec::new();
    let mut taken = Vec::new();
    let mut checked = 0;
    for item in items {
        let holder = match claim(&item) {
            Some((kind, name)) if checked < CHECKED && clock.remaining() > reserve => {
                checked += 1;
                holder(ports, kind, &name).await?
            }
            _ => None,
        };
        match holder.filter(|holder| !holder.is_deleting) {
            None => kept.push(item),
            Some(holder) => taken.push((item, holder.arn)),
        }
    }
    let mut refused = Vec::new();
    if let Some(since) = taken.iter().map(|(item, _)| item.created_at).min() {
        let jobs = jobs_since(ports, since).await?;
        for (item, holder) in taken {
            let is_restored = jobs
                .iter()
                .any(|job| is_restored_by(job, &item.recovery_point_arn, &holder));
            if is_restored {
                kept.push(item);
            } else {
                let refusal = ItemRefusal::NameTaken {
                    holder: holder.to_string(),
                };
                refused.push(Refused::of_item(&item, &refusal));
            }
        }
    }
    let mut free = Vec::new();
    for item in kept {
        let mut holder = None;
        for id in instances(&item) {
            if holder.is_some() || checked == CHECKED || clock.remaining() <= reserve {
                break;
            }
            checked += 1;
            let found = ports.db_instances().describe(&id).await?;
            holder = found.filter(|found| is_foreign(found, &item));
        }
        match holder {
            None => free.push(item),
            Some(holder) => {
                let refusal = ItemRefusal::InstanceNameTaken { holder: holder.arn };
                refused.push(Refused::of_item(&item, &refusal));
            }
        }
    }
    Ok((free, refused))
}

/// Whether the instance does not belong to the cluster of the item, and keeps its name.
fn is_foreign(instance: &DbInstance, item: &Item) -> bool {
    let cluster = instance.cluster.as_ref().map(DbClusterId::as_str);
    cluster != item.target.name() && instance.status != DbStatus::Deleting
}

/// The restore jobs since then.
async fn jobs_since(
    ports: &impl PlanningPorts,
    since: DateTime<Utc>,
) -> Result<Vec<RestoreJob>, Error> {
    let mut jobs = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let Page { listed, next: more } = ports
            .restore_jobs()
            .list(None, since, next.as_deref())
            .await?;
        jobs.extend(listed);
        next = more;
        if next.is_none() {
            break;
        }
    }
    Ok(jobs)
}
