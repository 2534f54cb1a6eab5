//! What the Region looks like at the end of the story: what the expectations and the report read.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::arguments::Adversity;
use crate::recovery::Recovery;
use crate::routing::Routing;

/// A restore of the story and what became of it.
#[derive(Debug)]
pub(crate) struct Restore {
    /// What was restored, in words.
    pub(crate) name: String,
    pub(crate) job: String,
    pub(crate) volume: String,
    pub(crate) recovery_point: String,
    /// The instance it belongs to.
    pub(crate) instance: String,
    /// What the owner asked it to be attached as.
    pub(crate) device: Option<&'static str>,
    /// Where it is attached now: instance and device.
    pub(crate) attached: Option<(String, String)>,
}

/// An OpsItem at the end.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) status: String,
    pub(crate) severity: String,
    /// What it is about.
    pub(crate) key: String,
    /// The items it refers to.
    pub(crate) related: Vec<String>,
}

/// An execution of the recovery runbook.
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) id: String,
    /// What it was started for.
    pub(crate) incident: String,
    pub(crate) status: String,
}

/// The plan that was looked at, and what was said of it when the world had changed.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) first: Value,
    pub(crate) changed: Value,
    /// The plan of volumes that claim one device.
    pub(crate) rivals: Value,
    /// The recovery point without tags that is the newest of its volume.
    pub(crate) untagged: String,
}

/// The recovery while it stood still, and where the traffic went.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) recovery: Recovery,
    pub(crate) routing: Routing,
}

/// What the planner says when the primary Region has backed up a recovered volume again.
#[derive(Debug)]
pub(crate) struct Returned {
    /// Of a plan without more, and of one that says that the workload runs in the primary Region again.
    pub(crate) plan: Value,
    pub(crate) failed_back: Value,
}

/// A drill and what is left of it.
#[derive(Debug)]
pub(crate) struct Drill {
    pub(crate) recovery: Recovery,
    /// The status of its clean-up.
    pub(crate) clean_up: String,
    /// Volumes that still carry its tag.
    pub(crate) volumes_left: usize,
    pub(crate) stack_left: bool,
}

/// Everything that the story leaves behind.
#[derive(Debug)]
pub(crate) struct Played {
    /// Physical names of the functions by logical id.
    pub(crate) functions: BTreeMap<String, String>,
    pub(crate) planned: Planned,
    /// The restores of the plan.
    pub(crate) restores: Vec<Restore>,
    pub(crate) misplaced: Restore,
    /// Restored by hand, when everything is warm.
    pub(crate) second: Restore,
    /// Volumes that restore tests made: id and where they are attached.
    pub(crate) test_volumes: Vec<(String, Option<String>)>,
    /// The oldest first.
    pub(crate) items: Vec<Item>,
    /// Executions of the recovery runbook as they asked for approval.
    pub(crate) asked: Vec<Execution>,
    /// The same at the end.
    pub(crate) executions: Vec<Execution>,
    /// How many executions of the state machine there were after the approval.
    pub(crate) recoveries: usize,
    /// The recovery as it stopped, where something was broken.
    pub(crate) stopped: Option<Stopped>,
    pub(crate) recovery: Recovery,
    /// The routing controls after it.
    pub(crate) routing: Routing,
    /// The code that a second start of the same recovery was refused with.
    pub(crate) started_again: String,
    pub(crate) drill: Drill,
    pub(crate) returned: Returned,
    /// Recovery points of the plan that were restored more than once, and how often.
    pub(crate) restored_again: Vec<(String, usize)>,
    /// The answer of the function that was invoked by hand.
    pub(crate) by_hand: Value,
    /// The Region's journal.
    pub(crate) journal: Vec<Value>,
    /// What was in the way.
    pub(crate) adversity: Adversity,
}
