//! A recovery as it went, moment by moment: the world that shows it, and what the state machine says.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::aws::arn::{Arn, DbInstanceId, OpsItemId};
use crate::aws::backup::RestoreJob;
use crate::aws::database::{DbInstance, DbSettings};
use crate::error::Error;
use crate::fakes::{DRILL_ROLE, State, StoredItem, World, attached_volume, completed_job};
use crate::integrate::database::kind::{DATABASE, ENDPOINT};
use crate::integrate::mount::record::Mount;
use crate::integrate::mount::{MOUNT, MOUNTED};
use crate::ops_item::{
    INTEGRATION, ItemKey, KEY, KIND, NewOpsItem, OpsItem, RESTORE, Severity, Status, restore_key,
};
use crate::plan::item::{
    DatabaseTarget, Item, Predictions, Refused, TagsFrom, Target, VolumeTarget,
};
use crate::plan::recovery_plan::Plan;
use crate::plan::request::{Mode, Request};
use crate::ports::OpsItems;

/// Where a volume of a story is mounted.
const MOUNT_PATH: &str = "/srv/orders";
const ROLE: &str = "arn:aws:iam::111122223333:role/restore";

/// How far an item came. Moments are seconds after the beginning of the trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// No job was started.
    Nowhere,
    /// Its job was created then, and runs.
    Restoring(i64),
    /// Its job was created then, and failed then.
    Failed(i64, i64),
    /// Its job was created then and completed then; the volume is not attached.
    Restored(i64, i64),
    /// And it was attached then.
    Attached(i64, i64, i64),
}

/// One item of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoryItem {
    /// 0 to 9.
    pub wave: u8,
    /// Seconds from the making of its recovery point to the beginning of the trouble.
    pub age: i64,
    /// A restore job of it that was created and failed then, before the others.
    pub failed_before: Option<(i64, i64)>,
    /// How far it came.
    pub came: Progress,
}

/// A recovery as it went. Moments are seconds after the beginning of the trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// A recovery or a drill.
    pub mode: Mode,
    /// When the OpsItem was created; without a moment there is none.
    pub tracked: Option<i64>,
    /// When the execution started.
    pub started: i64,
    /// When the plan was made.
    pub planned: i64,
    /// When the stacks stood.
    pub stood: i64,
    /// When the verification ended.
    pub verified: Option<i64>,
    /// When the fail-over ended.
    pub failed_over: Option<i64>,
    /// The items, in the order of their waves.
    pub items: Vec<StoryItem>,
    /// Resources that the plan does not restore.
    pub refused: usize,
    /// How often it was redriven.
    pub redrives: u32,
    /// How many items have the tags of an older recovery point.
    pub untagged: usize,
    /// How many items, the first ones, are DB instances.
    pub databases: usize,
    /// Whether the last item is mounted.
    pub mounted: bool,
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        // Knuth's linear congruential generator, of which the upper bits are good.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }
}

impl Story {
    /// A recovery of `items` items in up to three waves that ended.
    pub fn whole(items: usize, seed: u64) -> Story {
        let mut dice = Dice(seed.wrapping_add(1));
        let tracked = 60 + dice.below(240);
        let started = tracked + 120 + dice.below(600);
        let planned = started + 5 + dice.below(20);
        let stood = planned + 30 + dice.below(240);
        let mut from = stood + 2;
        let mut told = Vec::new();
        let waves = items.clamp(1, 3);
        for wave in 0..waves {
            let count = items * (wave + 1) / waves - items * wave / waves;
            let mut until = from;
            for _ in 0..count {
                let created = from + dice.below(20);
                let completed = created + 60 + dice.below(600);
                let attached = completed + 3 + dice.below(90);
                until = until.max(attached);
                told.push(StoryItem {
                    wave: u8::try_from(wave).unwrap_or(9),
                    age: 60 + dice.below(3_600),
                    failed_before: None,
                    came: Progress::Attached(created, completed, attached),
                });
            }
            from = until + 4;
        }
        let verified = from + 30 + dice.below(60);
        Story {
            mode: Mode::Recover,
            tracked: Some(tracked),
            started,
            planned,
            stood,
            verified: Some(verified),
            failed_over: Some(verified + 15 + dice.below(60)),
            items: told,
            refused: 0,
            redrives: 0,
            untagged: 0,
            databases: 0,
            mounted: false,
        }
    }

    /// The same, with its last item, a volume, mounted.
    #[must_use]
    pub fn with_a_mount(mut self) -> Story {
        self.mounted = true;
        self
    }

    fn is_mounted(&self, number: usize) -> bool {
        self.mounted && number + 1 == self.items.len()
    }

    /// The same, with DB instances as its first items.
    #[must_use]
    pub fn with_databases(mut self, databases: usize) -> Story {
        self.databases = databases;
        self
    }

    /// The same, in which some items came less far, and nothing came after.
    #[must_use]
    pub fn left(mut self, items: usize) -> Story {
        let count = self.items.len().max(1);
        for number in 0..items.min(count) {
            // Anywhere among the others.
            let item = &mut self.items[(number * 7 + count / 2) % count];
            if let Progress::Attached(created, completed, _) = item.came {
                item.came = match number % 4 {
                    0 => Progress::Failed(created, completed),
                    1 => Progress::Restored(created, completed),
                    2 => Progress::Restoring(created),
                    _ => Progress::Nowhere,
                };
            }
        }
        self.verified = None;
        self.failed_over = None;
        self
    }

    /// The same, redriven after the first restores of `items` items had failed.
    #[must_use]
    pub fn retried(mut self, items: usize) -> Story {
        for item in self.items.iter_mut().take(items) {
            item.failed_before = Some((self.stood - 20, self.stood - 3));
        }
        self.redrives = 1;
        self
    }

    /// The same as a drill.
    #[must_use]
    pub fn drill(mut self) -> Story {
        self.mode = Mode::Drill;
        self.tracked = None;
        self.failed_over = None;
        self
    }

    /// The same without an incident's OpsItem.
    #[must_use]
    pub fn untracked(mut self) -> Story {
        self.tracked = None;
        self
    }

    /// The time `seconds` after the beginning of the incident.
    pub fn moment(seconds: i64) -> DateTime<Utc> {
        let began = DateTime::from_timestamp(1_795_405_200, 0).unwrap_or_default();
        began + TimeDelta::seconds(seconds)
    }

    fn resource(number: usize) -> String {
        format!("arn:aws:ec2:us-east-1:111122223333:volume/vol-{number:017x}")
    }

    fn database(region: &str, number: usize) -> String {
        format!("arn:aws:rds:{region}:111122223333:db:db-{number}")
    }

    fn point(number: usize) -> String {
        format!("arn:aws:ec2:us-west-2::snapshot/snap-{number:017x}")
    }

    /// The name of the execution.
    pub fn execution(&self) -> String {
        format!("{}-1", self.mode.as_str())
    }

    /// The plan.
    ///
    /// # Errors
    /// None, with these names.
    pub fn plan(&self) -> Result<Plan, Error> {
        let mut request = json!({"workload": "shop", "mode": self.mode});
        if self.mode == Mode::Drill {
            request["stack"] = json!("shop-drill");
        }
        let request = Request::parse(&request)?;
        let planned = Story::moment(self.planned);
        let items = self.items.iter().enumerate().map(|(number, item)| {
            let created_at = Story::moment(-item.age);
            let stack = Some("shop".to_owned());
            let (kind, resource_arn, target) = if number < self.databases {
                let target = Target::Database(DatabaseTarget {
                    identifier: format!("db-{number}"),
                    stack,
                    security_groups: vec!["Db".to_owned()],
                    ..DatabaseTarget::default()
                });
                ("RDS", Story::database("us-east-1", number), target)
            } else {
                let target = Target::Volume(VolumeTarget {
                    stack,
                    logical_id: "Server".to_owned(),
                    mount: self.is_mounted(number).then(|| MOUNT_PATH.to_owned()),
                    ..VolumeTarget::default()
                });
                ("EBS", Story::resource(number), target)
            };
            Item {
                resource_arn,
                recovery_point_arn: Story::point(number),
                resource_type: kind.to_owned(),
                created_at,
                age_seconds: (planned - created_at).num_seconds(),
                wave: item.wave,
                target,
                unusable_tags: Vec::new(),
                problem: None,
                metadata: BTreeMap::new(),
                size_bytes: Some(8 << 30),
                predictions: Predictions::default(),
                tags_from: (number < self.untagged).then(|| TagsFrom {
                    recovery_point_arn: "arn:aws:ec2:us-west-2::snapshot/snap-older".to_owned(),
                    created_at: created_at - TimeDelta::days(1),
                }),
                period: None,
                publish: None,
            }
        });
        let refusals = (0..self.refused).map(|number| Refused {
            resource_arn: format!("arn:aws:rds:us-east-1:111122223333:db:shop-{number}"),
            recovery_point_arn: format!(
                "arn:aws:rds:us-west-2:111122223333:snapshot:shop-{number}"
            ),
            resource_type: "RDS".to_owned(),
            created_at: Story::moment(-600),
            reason: "type-not-restored".to_owned(),
            why: "RDS is not restored by this system".to_owned(),
            remedy: "Restore it by hand from its recovery point.".to_owned(),
        });
        let plan = Plan::of(
            &request,
            "recovery",
            planned,
            items.collect(),
            refusals.collect(),
        );
        plan.map_err(|refusal| {
            Error::Permanent(crate::error::Fault::new(
                "plan",
                "story",
                refusal.to_string(),
                "",
            ))
        })
    }

    /// Whether everything is attached.
    pub fn is_whole(&self) -> bool {
        let attached = |item: &StoryItem| matches!(item.came, Progress::Attached(..));
        self.items.iter().all(attached)
    }

    /// The world that shows it, and what the state machine gives the reporter for `task`.
    ///
    /// # Errors
    /// None, with these names.
    pub fn told(&self, task: &str) -> Result<(World, Value), Error> {
        let world = World::new();
        let plan = self.plan()?;
        let key = format!("plans/shop/{}.json", plan.hash);
        let item = self.tracked.map(|tracked| self.track(&world, tracked));
        let item = item.transpose()?;
        {
            let mut state = world.state();
            state
                .backups
                .objects
                .insert(key.clone(), json!(plan).to_string());
            for (number, item) in self.items.iter().enumerate() {
                self.show(&mut state, number, item.came);
                if let Some((created, ended)) = item.failed_before {
                    let number = number + self.items.len();
                    let came = Progress::Failed(created, ended);
                    self.show(&mut state, number, came);
                }
            }
        }
        let at = |seconds: i64| json!(Story::moment(seconds));
        let until = |seconds: i64| json!({"from": at(seconds - 10), "to": at(seconds)});
        let stack = match self.mode {
            Mode::Recover => json!({"stack": "shop", "did": "created"}),
            Mode::Drill => json!({"stack": "shop-drill", "did": "created"}),
        };
        let mut payload = json!({
            "do": task,
            "workload": "shop",
            "mode": self.mode,
            "execution": {
                "arn": format!("arn:aws:states:us-west-2:111122223333:execution:RegionRecovery:{}", self.execution()),
                "name": self.execution(),
                "startedAt": at(self.started),
            },
            "plan": {"hash": plan.hash, "bucket": "recovery", "key": key, "plannedAt": at(self.planned)},
            "infrastructure": {"from": at(self.planned), "to": at(self.stood), "stacks": [stack]},
            "problems": [],
            "redrives": self.redrives,
            "round": self.redrives,
        });
        if let Some(item) = item {
            payload["opsItemId"] = json!(item.as_str());
            payload["incident"] = json!("health-event/arn:aws:health:us-east-1::event/1");
        }
        if let Some(verified) = self.verified {
            payload["verification"] = until(verified);
        }
        if let Some(failed_over) = self.failed_over {
            payload["failOver"] = until(failed_over);
        }
        Ok((world, payload))
    }

    /// The incident has its OpsItem.
    fn track(&self, world: &World, tracked: i64) -> Result<OpsItemId, Error> {
        use futures_util::FutureExt;
        let new = NewOpsItem {
            key: ItemKey::new("health-event", "arn:aws:health:us-east-1::event/1"),
            title: "S3 in us-east-1".to_owned(),
            description: "Something is wrong.".to_owned(),
            severity: Severity::Critical,
            category: "Availability",
            data: [
                (crate::ops_item::KIND, crate::ops_item::INCIDENT.to_owned()),
                (crate::ops_item::BEGAN, Story::moment(0).to_rfc3339()),
            ]
            .into(),
        };
        drop(world.create(&new).now_or_never());
        let mut state = world.state();
        state.calls.clear();
        let Some(stored) = state.items.first_mut() else {
            return Ok(OpsItemId::new("oi-1"));
        };
        stored.item.created = Some(Story::moment(tracked));
        Ok(stored.item.id.clone())
    }

    /// A job, and what it made. Numbers beyond those of the items are those of other jobs of theirs.
    fn show(&self, state: &mut State, number: usize, came: Progress) {
        let role = match self.mode {
            Mode::Recover => ROLE,
            Mode::Drill => DRILL_ROLE,
        };
        let n = format!("{:017x}", number + 0xa000);
        let point = Story::point(number % self.items.len().max(1));
        let job = |created: i64, completed: i64| {
            let (created, completed) = (Story::moment(created), Story::moment(completed));
            completed_job(&n, &point, role, created, completed)
        };
        // What it restored, and whether applications can use it.
        let restored = |state: &mut State, mut job: RestoreJob, is_usable: bool| {
            if number < self.databases {
                let arn = Story::database("us-west-2", number);
                job.created_resource = Arn::parse(&arn).ok();
                let id = DbInstanceId::new(format!("db-{number}"));
                let host = format!("db-{number}.example");
                let instance = DbInstance {
                    id: id.clone(),
                    arn,
                    status: if is_usable { "available" } else { "creating" }.into(),
                    cluster: None,
                    engine: "postgres".to_owned(),
                    engine_version: "16.4".to_owned(),
                    endpoint: is_usable.then_some((host, 5432)),
                    settings: DbSettings::default(),
                    restore_test: false,
                };
                state.databases.instances.insert(id, instance);
            }
            if self.is_mounted(number) {
                state.items.push(mounted_item(&job));
            }
            // A setting of the first database is left to do.
            if number == 0 && self.databases > 0 && is_usable {
                let key = restore_key(&job.id);
                let data = [
                    (KEY, key.as_str()),
                    (KIND, RESTORE),
                    (INTEGRATION, DATABASE.integrated),
                    (ENDPOINT, "db-0.example:5432"),
                ];
                state.items.push(StoredItem {
                    item: OpsItem {
                        id: OpsItemId::new("oi-restore-0"),
                        status: Status::Open,
                        created: job.completed,
                        data: data
                            .map(|(key, value)| (key.to_owned(), value.to_owned()))
                            .into(),
                    },
                    key,
                    title: "Restored instance db-0 integrated".to_owned(),
                    description: String::new(),
                    severity: Severity::Medium,
                    related: Vec::new(),
                });
            }
            state.restore_jobs.insert(job.id.to_string(), job);
        };
        match came {
            Progress::Nowhere => {}
            Progress::Restoring(created) => {
                let mut job = job(created, created);
                job.status = Some("RUNNING".to_owned());
                job.created_resource = None;
                job.completed = None;
                state.restore_jobs.insert(job.id.to_string(), job);
            }
            Progress::Failed(created, ended) => {
                let mut job = job(created, ended);
                job.status = Some("FAILED".to_owned());
                job.created_resource = None;
                job.status_message = Some("The KMS key <b>cannot</b> be used".to_owned());
                state.restore_jobs.insert(job.id.to_string(), job);
            }
            Progress::Restored(created, completed) => {
                let mut volume = attached_volume(&n, "1", Story::moment(completed));
                volume.attachments.clear();
                volume.state = "available".into();
                state.volumes.insert(volume.id.clone(), volume);
                restored(state, job(created, completed), false);
            }
            Progress::Attached(created, completed, attached) => {
                let volume = attached_volume(&n, "0a1b2c3d4e5f60718", Story::moment(attached));
                state.volumes.insert(volume.id.clone(), volume);
                restored(state, job(created, completed), true);
            }
        }
    }
}

/// The resolved OpsItem of a restore job whose volume is mounted.
fn mounted_item(job: &RestoreJob) -> StoredItem {
    let key = restore_key(&job.id);
    let mount = Mount {
        path: MOUNT_PATH.to_owned(),
        instance_ids: vec!["i-1".to_owned()],
        how: "xfs".to_owned(),
        access_point: Some("fsap-1".to_owned()),
    };
    let data = [
        (KEY, key.as_str().to_owned()),
        (KIND, RESTORE.to_owned()),
        (MOUNT, MOUNTED.to_owned()),
        mount.data(),
    ];
    StoredItem {
        item: OpsItem {
            id: OpsItemId::new("oi-mounted"),
            status: Status::Resolved,
            created: job.completed,
            data: data.map(|(name, value)| (name.to_owned(), value)).into(),
        },
        key,
        title: "Restored volume mounted".to_owned(),
        description: String::new(),
        severity: Severity::Low,
        related: Vec::new(),
    }
}
