//! The part of an account that the functions see and change.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::data_stores::DataStores;

/// Ids of what there is: those of `events/restore-completed-ebs.json`, and of the target.
pub(crate) mod ids {
    pub(crate) const SNAPSHOT: &str = "snap-0a8530a063a225612";
    pub(crate) const VOLUME: &str = "vol-00e82fc3692dc59d2";
    pub(crate) const INSTANCE: &str = "i-0d5a1b7e2f9c8a634";
    pub(crate) const STACK: &str = "orders-recovery";
    pub(crate) const LOGICAL_ID: &str = "Database";
    pub(crate) const GROUP: &str = "orders-recovery-Database-1KX9ZQWE2M4T";
    pub(crate) const JOB: &str = "087B9735-2F33-4208-B8CB-A7A4153F043F";
    /// Those of `events/restore-test-completed-ebs.json`.
    pub(crate) const TEST_JOB: &str = "B76709DC-9619-4636-9F20-95D9B5973771";
    pub(crate) const TEST_VOLUME: &str = "vol-0350ae29ea0415e0a";
    /// The target in `events/manual-planned-restore.json`: the same instance.
    pub(crate) const PLANNED_STACK: &str = "shop";
    pub(crate) const PLANNED_LOGICAL_ID: &str = "Server";
    /// Those of `events/restore-completed-rds.json`.
    pub(crate) const DB_INSTANCE: &str = "orders";
    pub(crate) const DB_SNAPSHOT: &str = "arn:aws:rds:us-west-2:111122223333:snapshot:awsbackup:job-55af03e3-4afa-4f91-b30c-6ef859bc4569";
    pub(crate) const DB_POINT: &str =
        "arn:aws:backup:us-west-2:111122223333:recovery-point:750b1010-1169-4f49-aaec-37ba3089f76d";
    /// Those of `events/restore-completed-aurora.json`.
    pub(crate) const DB_CLUSTER: &str = "ledger";
    pub(crate) const DB_CLUSTER_SNAPSHOT: &str = "arn:aws:rds:us-west-2:111122223333:cluster-snapshot:awsbackup:job-3377ccb0-76b5-40f5-97d0-9f1fdaf48f90";
    /// Those of `events/restore-completed-dynamodb.json`.
    pub(crate) const TABLE: &str = "sessions-recovered";
    pub(crate) const TABLE_POINT: &str =
        "arn:aws:backup:us-west-2:111122223333:recovery-point:0b6849e9-02dd-401c-91c9-74db93077458";
}

/// How long EC2 takes to attach a volume where nothing else is said: most take 1 to 4 s, by AWS's own driver of
/// EBS volumes for Kubernetes
/// (<https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/pkg/cloud/cloud.go>).
const ATTACHING: Duration = Duration::from_secs(2);

/// The part of an account that the functions see and change.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// Tags of the snapshot.
    pub(crate) tags: BTreeMap<String, String>,
    /// The zone of the volume.
    pub(crate) volume_zone: String,
    /// The zone of the instance.
    pub(crate) instance_zone: String,
    /// Whether the target is an Auto Scaling group with the instance in it.
    pub(crate) grouped: bool,
    /// How long EC2 says `attaching` from when it accepted `AttachVolume`.
    pub(crate) attaching: Duration,
    /// When it did. Nothing for a volume that was attached before.
    pub(crate) accepted: Option<Instant>,
    /// Whether an answer has said that the volume is attached, after it was accepted.
    pub(crate) confirmed: bool,
    /// The device name under which the volume is attached.
    pub(crate) device: Option<String>,
    /// OpsItems, the oldest first.
    pub(crate) items: Vec<Item>,
    /// Whether AWS Backup lists the restore among those completed.
    pub(crate) listed: bool,
    /// Messages published.
    pub(crate) messages: usize,
    /// Databases and tables.
    pub(crate) data_stores: DataStores,
}

/// An OpsItem.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) status: String,
    pub(crate) data: BTreeMap<String, String>,
}

impl Default for World {
    /// A restored volume beside the instance that it belongs to.
    fn default() -> World {
        let tags = [
            ("recovery:workload", ids::PLANNED_STACK),
            ("recovery:stack", ids::STACK),
            ("recovery:logical-id", ids::LOGICAL_ID),
            ("recovery:device", "/dev/sdf"),
            ("Name", "orders database"),
            (
                "aws:backup:source-resource",
                "i-0b22a22eec53b9321:vol-0763fb4e71a955616",
            ),
        ];
        World {
            tags: tags
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            volume_zone: "us-west-2a".to_owned(),
            instance_zone: "us-west-2a".to_owned(),
            grouped: false,
            attaching: ATTACHING,
            accepted: None,
            confirmed: false,
            device: None,
            items: Vec::new(),
            listed: true,
            messages: 0,
            data_stores: DataStores::default(),
        }
    }
}
