//! Instances and clusters, from the answers of RDS.

use aws_sdk_rds::types;
use recovery_core::aws::arn::{DbClusterId, DbInstanceId};
use recovery_core::aws::database::{Capacity, DbCluster, DbInstance, DbSettings, Scaling};
use recovery_core::error::Error;
use recovery_core::tags::RESTORE_TEST;

use super::{DESCRIBE_CLUSTERS, DESCRIBE_INSTANCES};
use crate::error::incomplete;

pub(super) fn instance(found: types::DbInstance) -> Result<DbInstance, Error> {
    let id = found.db_instance_identifier.unwrap_or_default();
    let missing = |member| incomplete(DESCRIBE_INSTANCES, &id, member);
    let pending = found.pending_modified_values;
    let settings = DbSettings {
        deletion_protection: found.deletion_protection.unwrap_or_default(),
        retention_days: days(
            pending
                .as_ref()
                .and_then(|it| it.backup_retention_period)
                .or(found.backup_retention_period),
        ),
        iam_authentication: pending
            .as_ref()
            .and_then(|it| it.iam_database_authentication_enabled)
            .or(found.iam_database_authentication_enabled)
            .unwrap_or_default(),
        log_exports: logs(
            found.enabled_cloudwatch_logs_exports,
            pending.and_then(|it| it.pending_cloudwatch_logs_exports),
        ),
        performance_insights: found.performance_insights_enabled.unwrap_or_default(),
    };
    let endpoint = found.endpoint.and_then(|endpoint| {
        let port = port(endpoint.port)?;
        Some((endpoint.address.filter(|host| !host.is_empty())?, port))
    });
    Ok(DbInstance {
        arn: found.db_instance_arn.ok_or_else(|| missing("ARN"))?,
        status: found
            .db_instance_status
            .ok_or_else(|| missing("status"))?
            .as_str()
            .into(),
        cluster: found
            .db_cluster_identifier
            .filter(|cluster| !cluster.is_empty())
            .map(DbClusterId::new),
        engine: found.engine.ok_or_else(|| missing("engine"))?,
        engine_version: found.engine_version.unwrap_or_default(),
        endpoint,
        settings,
        restore_test: is_restore_test(found.tag_list.as_deref()),
        id: DbInstanceId::new(id),
    })
}

pub(super) fn cluster(found: types::DbCluster) -> Result<DbCluster, Error> {
    let id = found.db_cluster_identifier.unwrap_or_default();
    let missing = |member| incomplete(DESCRIBE_CLUSTERS, &id, member);
    let pending = found.pending_modified_values;
    let settings = DbSettings {
        deletion_protection: found.deletion_protection.unwrap_or_default(),
        retention_days: days(
            pending
                .as_ref()
                .and_then(|it| it.backup_retention_period)
                .or(found.backup_retention_period),
        ),
        iam_authentication: pending
            .as_ref()
            .and_then(|it| it.iam_database_authentication_enabled)
            .or(found.iam_database_authentication_enabled)
            .unwrap_or_default(),
        log_exports: logs(
            found.enabled_cloudwatch_logs_exports,
            pending.and_then(|it| it.pending_cloudwatch_logs_exports),
        ),
        performance_insights: found.performance_insights_enabled.unwrap_or_default(),
    };
    let scaling = found
        .serverless_v2_scaling_configuration
        .and_then(|scaling| {
            Some(Scaling {
                least: capacity(scaling.min_capacity?),
                most: capacity(scaling.max_capacity?),
            })
        });
    let host = found.endpoint.filter(|host| !host.is_empty());
    Ok(DbCluster {
        arn: found.db_cluster_arn.ok_or_else(|| missing("ARN"))?,
        status: found
            .status
            .ok_or_else(|| missing("status"))?
            .as_str()
            .into(),
        engine: found.engine.ok_or_else(|| missing("engine"))?,
        engine_version: found.engine_version.unwrap_or_default(),
        endpoint: host.zip(port(found.port)),
        reader_endpoint: found.reader_endpoint.filter(|host| !host.is_empty()),
        scaling,
        settings,
        restore_test: is_restore_test(found.tag_list.as_deref()),
        id: DbClusterId::new(id),
    })
}

fn days(days: Option<i32>) -> u32 {
    days.and_then(|days| u32::try_from(days).ok())
        .unwrap_or_default()
}

fn port(port: Option<i32>) -> Option<u16> {
    port.and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
}

/// The types of logs that are exported, or are about to be.
fn logs(
    enabled: Option<Vec<String>>,
    pending: Option<types::PendingCloudwatchLogsExports>,
) -> std::collections::BTreeSet<String> {
    let pending = pending.and_then(|pending| pending.log_types_to_enable);
    enabled.into_iter().chain(pending).flatten().collect()
}

fn is_restore_test(tags: Option<&[types::Tag]>) -> bool {
    tags.unwrap_or_default()
        .iter()
        .any(|tag| tag.key() == Some(RESTORE_TEST))
}

/// Capacity has steps of a half.
fn capacity(units: f64) -> Capacity {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the conversion saturates, and RDS has no capacity below 0"
    )]
    let halves = (units * 2.0).round() as u32;
    Capacity { halves }
}
