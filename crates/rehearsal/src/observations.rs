//! Observes the Region at the end of the rehearsal, for the expectations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::arguments::Adversity;
use crate::recovery::Recovery;
use crate::routing::Routing;
use crate::workload::{Bucket, FileSystem, Server, Store};

/// A restore and its result.
#[derive(Debug)]
pub(crate) struct Restore {
    /// The name of the restored volume.
    pub(crate) name: String,
    pub(crate) job: String,
    pub(crate) volume: String,
    pub(crate) recovery_point: String,
    /// The instance of its target.
    pub(crate) instance: String,
    /// The device name of the tag.
    pub(crate) device: Option<&'static str>,
    /// The path of the tag.
    pub(crate) mount: Option<&'static str>,
    /// The instance and device of its attachment.
    pub(crate) attached: Option<(String, String)>,
}

/// A restored database, cluster or table.
#[derive(Debug)]
pub(crate) struct RestoredStore {
    pub(crate) store: Store,
    pub(crate) job: String,
    pub(crate) recovery_point: String,
    /// Its state at the end, and the expected one.
    pub(crate) state: Value,
    pub(crate) expected: Value,
    /// The parameters with its addresses, and the addresses that its service shows.
    pub(crate) published: BTreeMap<String, String>,
    pub(crate) addresses: BTreeMap<String, String>,
}

/// A restored file system.
#[derive(Debug)]
pub(crate) struct RestoredFileSystem {
    pub(crate) file_system: FileSystem,
    pub(crate) job: String,
    pub(crate) recovery_point: String,
    pub(crate) id: String,
    /// The instances that should mount it.
    pub(crate) servers: BTreeSet<String>,
    /// What they mount: its id, or its DNS name.
    pub(crate) source: String,
    /// Its network and access points at the end, and the expected ones.
    pub(crate) state: Value,
    pub(crate) expected: Value,
    /// The parameters with its addresses, and some of the addresses that its service shows.
    pub(crate) published: BTreeMap<String, String>,
    pub(crate) addresses: BTreeMap<String, String>,
}

/// A bucket that objects were restored into.
#[derive(Debug)]
pub(crate) struct RestoredBucket {
    pub(crate) bucket: Bucket,
    pub(crate) job: String,
    pub(crate) recovery_point: String,
    /// Its name in the recovery Region.
    pub(crate) name: String,
    /// Its objects, each with its content and the number of its versions.
    pub(crate) objects: BTreeMap<String, (String, usize)>,
    /// The parameters with its name.
    pub(crate) published: BTreeMap<String, String>,
}

/// The bucket that was restored manually, twice.
#[derive(Debug)]
pub(crate) struct Archive {
    /// The job that left an object out.
    pub(crate) first_job: String,
    /// The names of its objects after that job.
    pub(crate) first_objects: Vec<String>,
    /// The bucket after the second job.
    pub(crate) restored: RestoredBucket,
}

/// An instance that was restored from its image.
#[derive(Debug)]
pub(crate) struct RestoredServer {
    pub(crate) server: Server,
    pub(crate) job: String,
    pub(crate) recovery_point: String,
    pub(crate) id: String,
    /// Its network, profile, volumes and health at the end, and the expected ones.
    pub(crate) state: Value,
    pub(crate) expected: Value,
    /// The parameters with its addresses, and some of the addresses that EC2 shows.
    pub(crate) published: BTreeMap<String, String>,
    pub(crate) addresses: BTreeMap<String, String>,
}

/// An OpsItem at the end.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) status: String,
    pub(crate) severity: String,
    /// Its key.
    pub(crate) key: String,
    /// The related OpsItems.
    pub(crate) related: Vec<String>,
}

/// An execution of the recovery runbook.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) id: String,
    /// The incident that started it.
    pub(crate) incident: String,
    pub(crate) status: String,
}

/// The plans before the disaster.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) first: Value,
    pub(crate) changed: Value,
    /// The plan of the volumes that claim the same device.
    pub(crate) rivals: Value,
    /// The recovery point without tags, which is the newest of its volume.
    pub(crate) untagged: String,
}

/// The stopped recovery, and the routing controls at that time.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) recovery: Recovery,
    pub(crate) routing: Routing,
}

/// The plans after the primary Region has backed up a recovered volume again.
#[derive(Debug)]
pub(crate) struct Returned {
    /// The plan without and with the record that the workload runs in the primary Region again.
    pub(crate) plan: Value,
    pub(crate) failed_back: Value,
}

/// A drill and its remaining resources.
#[derive(Debug)]
pub(crate) struct Drill {
    pub(crate) recovery: Recovery,
    /// The status of its clean-up.
    pub(crate) clean_up: String,
    /// Volumes with its tag.
    pub(crate) volumes_left: usize,
    /// Databases, tables and parameters of drills.
    pub(crate) stores_left: Vec<String>,
    /// File systems and access points of drills.
    pub(crate) file_systems_left: Vec<String>,
    /// The state of its instance; `None` if EC2 does not show it.
    pub(crate) server: Option<String>,
    /// The status of its first clean-up, which cannot delete the bucket with objects.
    pub(crate) first_clean_up: String,
    /// How many versions of objects were then deleted by hand.
    pub(crate) versions_emptied: usize,
    pub(crate) stack_left: bool,
}

/// The results of the rehearsal.
#[derive(Debug)]
pub(crate) struct Played {
    /// Physical names of the functions by logical id.
    pub(crate) functions: BTreeMap<String, String>,
    pub(crate) planned: Planned,
    /// The volumes of the plan.
    pub(crate) restores: Vec<Restore>,
    /// The databases and tables of the plan.
    pub(crate) stores: Vec<RestoredStore>,
    /// The file systems of the plan.
    pub(crate) file_systems: Vec<RestoredFileSystem>,
    /// The bucket of the plan.
    pub(crate) assets: RestoredBucket,
    /// The instance of the plan that is restored from its image.
    pub(crate) appliance: RestoredServer,
    pub(crate) archive: Archive,
    /// What is mounted in the guest of each instance, by instance id.
    pub(crate) mounts: Value,
    /// The table whose restore no rule noticed.
    pub(crate) unnoticed: RestoredStore,
    pub(crate) misplaced: Restore,
    /// The manual restore, after the functions are warm.
    pub(crate) second: Restore,
    /// The volumes of restore tests: id and attachment.
    pub(crate) test_volumes: Vec<(String, Option<String>)>,
    /// The oldest first.
    pub(crate) items: Vec<Item>,
    /// The executions of the recovery runbook when they requested approval.
    pub(crate) asked: Vec<Execution>,
    /// The same executions at the end.
    pub(crate) executions: Vec<Execution>,
    /// The number of executions of the state machine after the approval.
    pub(crate) recoveries: usize,
    /// The stopped recovery, with `--break`.
    pub(crate) stopped: Option<Stopped>,
    pub(crate) recovery: Recovery,
    /// The routing controls after it.
    pub(crate) routing: Routing,
    /// The error code of a second start of the same recovery.
    pub(crate) started_again: String,
    pub(crate) drill: Drill,
    pub(crate) returned: Returned,
    /// Recovery points of the plan that were not restored exactly once, and how often.
    pub(crate) restored_again: Vec<(String, usize)>,
    /// The answer of the manual invocation.
    pub(crate) by_hand: Value,
    /// The Region's journal.
    pub(crate) journal: Vec<Value>,
    /// The injected faults and failures.
    pub(crate) adversity: Adversity,
}
