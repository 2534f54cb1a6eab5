//! Restored buckets: what AWS Backup restores into which one, what its tags want, and what becomes of it.
//!
//! What a bucket is to become is drawn here, and the tags are derived from it.

use fastrand::Rng;
use recovery_core::aws::arn::{Arn, RecoveryPointArn, RestoreJobId};
use recovery_core::aws::backup::{PlannedAs, Restore, RestoreJob, RestoreRequest};
use recovery_core::aws::bucket::S3;
use recovery_core::fakes::{DRILL_ROLE, FakeBucket, RESTORE_ROLE};
use recovery_core::tags::Tags;

use crate::data_stores::{DRILL, drill};
use crate::executor::Millis;
use crate::parties::{Act, Integrator, MINUTE, Plan, chance};
use crate::sites::{DRILL_STACK, SiteAct, Sites};
use crate::world::{Sim, time};

/// Why a bucket was restored, and what the tags of its recovery point say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BucketPurpose {
    Tagged,
    Untagged,
    Test,
    /// The tags name no bucket.
    WithoutTarget,
    /// A person restored a copy into another bucket than the tags name.
    Copy,
    /// A person restored single objects into the bucket that the tags name.
    SingleObjects,
}

/// How much of what was asked for AWS Backup restored, although its job is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    Everything,
    Part,
    /// The recovery point contains no such object.
    Nothing,
}

/// A restore into a bucket.
#[derive(Debug, Clone)]
pub(crate) struct RestoredBucket {
    pub(crate) id: RestoreJobId,
    pub(crate) purpose: BucketPurpose,
    pub(crate) drill: bool,
    /// The number of its stack.
    pub(crate) site: usize,
    number: usize,
    /// The bucket with the objects.
    pub(crate) name: String,
    /// The protected bucket, and the last part of the path where it is published.
    pub(crate) source: String,
    pub(crate) share: Share,
    /// Whether the tags name prefixes.
    pub(crate) has_prefixes: bool,
    pub(crate) is_published: bool,
    /// Whether only an older recovery point has the tags. The plan of a recovery names it.
    pub(crate) is_tagged_by_plan: bool,
    /// Whether a person deletes the bucket.
    pub(crate) is_disturbed: bool,
    /// Whether nothing and nobody stands in its way.
    pub(crate) quiet: bool,
    completed: Millis,
}

/// Something that happens to a bucket.
#[derive(Debug, Clone)]
pub(crate) enum BucketAct {
    Begun(usize),
    Completed(usize),
    /// A person deletes it.
    Deleted(usize),
    /// The stack, or a person, creates it again, without its objects.
    Recreated(usize),
}

impl Plan {
    /// A restore into a bucket. Sometimes a second one follows a partial one, and adds what is missing.
    pub(crate) fn draw_bucket(&mut self, rng: &mut Rng, drawn: &mut Sites) {
        let n = drawn.buckets.len();
        let mut bucket = self.draw_restored(rng, n, drawn);
        let completed = bucket.completed;
        self.add_bucket(rng, n, &mut bucket);
        let at = rng.u64(completed..self.weather.calm);
        if bucket.purpose == BucketPurpose::Tagged && chance(rng, 10) {
            bucket.is_disturbed = true;
            bucket.quiet = false;
            self.add_site(at, SiteAct::Bucket(BucketAct::Deleted(n)));
            if chance(rng, 60) {
                let again = rng.u64(at..self.weather.calm);
                self.add_site(again, SiteAct::Bucket(BucketAct::Recreated(n)));
            }
        }
        let is_repeated = bucket.is_partial() && !bucket.is_disturbed && chance(rng, 70);
        let repeated = bucket.clone();
        drawn.buckets.push(bucket);
        if is_repeated {
            let mut second = RestoredBucket {
                id: RestoreJobId::new(format!("bucket-{}", n + 1)),
                share: Share::Everything,
                completed: at,
                ..repeated
            };
            self.add_bucket(rng, n + 1, &mut second);
            drawn.buckets.push(second);
        }
    }

    fn draw_restored(&mut self, rng: &mut Rng, n: usize, drawn: &Sites) -> RestoredBucket {
        let site = rng.usize(0..drawn.sites.len() - 1);
        let purpose = match rng.u32(0..100) {
            0..5 => BucketPurpose::Untagged,
            5..10 => BucketPurpose::Test,
            10..15 => BucketPurpose::WithoutTarget,
            15..22 => BucketPurpose::Copy,
            22..27 => BucketPurpose::SingleObjects,
            _ => BucketPurpose::Tagged,
        };
        let is_tagged = purpose == BucketPurpose::Tagged;
        let drill = is_tagged && chance(rng, 15);
        let mut bucket = RestoredBucket {
            id: RestoreJobId::new(format!("bucket-{n}")),
            purpose,
            drill,
            site,
            number: n,
            name: format!("audit-{n}"),
            source: format!("orders-{n}"),
            share: match rng.u32(0..100) {
                0..60 => Share::Everything,
                60..85 => Share::Part,
                _ => Share::Nothing,
            },
            has_prefixes: is_tagged && chance(rng, 30),
            is_published: chance(rng, 80),
            is_tagged_by_plan: is_tagged && chance(rng, 12),
            is_disturbed: false,
            quiet: false,
            completed: rng.u64(0..self.weather.calm / 2),
        };
        if purpose != BucketPurpose::Copy {
            bucket.name = bucket.wanted(drawn);
        }
        bucket.quiet = is_tagged
            && !drill
            && !bucket.is_tagged_by_plan
            && !bucket.is_partial()
            && drawn.sites[site].is_early
            && self.weather.faults == 0;
        bucket
    }

    /// The restore, who hears of it, and who asks for it.
    fn add_bucket(&mut self, rng: &mut Rng, n: usize, bucket: &mut RestoredBucket) {
        let calm = self.weather.calm;
        let completed = bucket.completed;
        let began = completed - rng.u64(0..=completed.min(10 * MINUTE));
        self.add_site(began, SiteAct::Bucket(BucketAct::Begun(n)));
        self.add_site(completed, SiteAct::Bucket(BucketAct::Completed(n)));
        let mut job = bucket.job();
        // The message is the only sign of missing objects, and an event can lack it.
        if chance(rng, 50) {
            job.status_message = None;
        }
        self.draw_events(rng, Integrator::Bucket, &job, completed);
        let own = format!("site-{}", bucket.site);
        self.draw_requests(rng, Integrator::Bucket, &bucket.asked(), &own, completed);
        if chance(rng, 8) {
            bucket.quiet = false;
            let at = rng.u64(completed..calm);
            self.add(at, Act::PersonResolves(bucket.id.clone()));
        }
    }
}

impl RestoredBucket {
    /// The bucket that the tags name.
    pub(crate) fn wanted(&self, sites: &Sites) -> String {
        let stack = &sites.site(self.site, self.drill).stack;
        format!("{stack}-assets-{}", self.number)
    }

    /// Its name in its stack.
    pub(crate) fn logical_id(&self) -> String {
        format!("Assets{}", self.number)
    }

    /// What the state machine of its recovery or drill asks for.
    fn asked(&self) -> Restore {
        let older = RecoveryPointArn::parse(&self.point("older")).ok();
        Restore {
            drill: self.drill.then(|| drill(DRILL_STACK)),
            planned: PlannedAs {
                tags_from: older.filter(|_| self.is_tagged_by_plan),
                ..PlannedAs::default()
            },
            ..Restore::from(RestoreJob::known_by_id(self.id.clone()))
        }
    }

    /// Both restores of a bucket are of the same recovery point.
    fn point(&self, which: &str) -> String {
        let source = &self.source;
        format!("arn:aws:backup:us-west-2:111122223333:recovery-point:{which}-{source}")
    }

    /// The words of AWS Backup about its completed job.
    fn message(&self) -> Option<String> {
        let point = self.point("own");
        match self.share {
            Share::Everything => None,
            Share::Part => Some(format!(
                "One or more objects failed to be restored from {point} to {}. To get notified of these failures, enable SNS event notifications.",
                self.name
            )),
            Share::Nothing => Some(format!(
                "There are no objects that match the restore request for {point}."
            )),
        }
    }

    /// The job as AWS Backup knows it.
    fn job(&self) -> RestoreJob {
        let role = if self.drill { DRILL_ROLE } else { RESTORE_ROLE };
        RestoreJob {
            status: Some("COMPLETED".to_owned()),
            status_message: self.message(),
            resource_type: Some(S3.to_owned()),
            created_resource: Arn::parse(&self.arn()).ok(),
            recovery_point: RecoveryPointArn::parse(&self.point("own")).ok(),
            source_resource: Arn::parse(&format!("arn:aws:s3:::{}", self.source)).ok(),
            iam_role: Arn::parse(role).ok(),
            restore_test: self.purpose == BucketPurpose::Test,
            completed: Some(time(self.completed)),
            ..RestoreJob::known_by_id(self.id.clone())
        }
    }

    fn arn(&self) -> String {
        format!("arn:aws:s3:::{}", self.name)
    }

    /// The path of its parameters.
    pub(crate) fn path(&self) -> String {
        match self.drill {
            true => format!("/recovery/{}/drill/{DRILL}", self.source),
            false => format!("/recovery/{}", self.source),
        }
    }

    /// The parameters that it is to have, with their values.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let path = self.path();
        vec![
            (format!("{path}/name"), self.name.clone()),
            (format!("{path}/arn"), self.arn()),
        ]
    }

    fn tags(&self) -> Tags {
        let mut tags = vec![
            ("recovery:workload", "shop".to_owned()),
            ("recovery:stack", format!("site-{}", self.site)),
        ];
        if self.purpose != BucketPurpose::WithoutTarget {
            tags.push(("recovery:logical-id", self.logical_id()));
        }
        if self.has_prefixes {
            tags.push(("recovery:prefixes", "2026/ images/".to_owned()));
        }
        if self.is_published {
            tags.push(("recovery:publish", format!("/recovery/{}", self.source)));
        }
        tags.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// What the job was started with: single objects are those of the prefixes, or those of a person.
    fn request(&self) -> Option<RestoreRequest> {
        let is_single = self.purpose == BucketPurpose::SingleObjects;
        let items = match (is_single, self.has_prefixes) {
            (true, _) => format!("[\"s3://{}/a.txt\"]", self.source),
            (_, true) => format!("[\"s3://{0}/2026/\",\"s3://{0}/images/\"]", self.source),
            (false, false) => return None,
        };
        Some(RestoreRequest {
            point: RecoveryPointArn::parse(&self.point("own")).ok()?,
            resource_type: S3.to_owned(),
            metadata: [("ItemsToRestore".to_owned(), items)].into(),
            role: String::new(),
            token: String::new(),
            copy_tags: false,
        })
    }

    /// Whether objects are missing that only another restore brings. Prefixes that no object has are wrong ones.
    pub(crate) fn is_partial(&self) -> bool {
        self.share == Share::Part || self.is_empty()
    }

    /// Whether no object has one of the prefixes.
    pub(crate) fn is_empty(&self) -> bool {
        self.share == Share::Nothing && self.has_prefixes
    }
}

/// Lets something happen to a bucket.
pub(crate) fn act(sim: &Sim, act: &BucketAct) {
    let now = sim.now();
    let buckets = &sim.sites.buckets;
    let mut state = sim.world.state();
    let state = &mut *state;
    match act {
        BucketAct::Begun(n) => {
            let bucket = &buckets[*n];
            let job = RestoreJob {
                status: Some("RUNNING".to_owned()),
                status_message: None,
                created_resource: None,
                completed: None,
                ..bucket.job()
            };
            state.restore_jobs.insert(bucket.id.to_string(), job);
        }
        BucketAct::Completed(n) => {
            let bucket = &buckets[*n];
            let job = bucket.job();
            state.restore_jobs.insert(bucket.id.to_string(), job);
            let started = bucket.request().map(|it| (it, bucket.id.clone()));
            state.backups.started.extend(started);
            let untagged = Tags::from([("Name".to_owned(), "assets".to_owned())]);
            let is_tagged = bucket.purpose != BucketPurpose::Untagged && !bucket.is_tagged_by_plan;
            let tags = if is_tagged { bucket.tags() } else { untagged };
            state.tags.insert(bucket.point("own"), tags);
            if bucket.is_tagged_by_plan {
                state.tags.insert(bucket.point("older"), bucket.tags());
            }
        }
        BucketAct::Deleted(n) => {
            let name = &buckets[*n].name;
            state.buckets.remove(name);
            sim.inner().ledger.emptied.insert(name.clone(), now);
        }
        BucketAct::Recreated(n) => {
            let name = buckets[*n].name.clone();
            state.buckets.insert(name, FakeBucket::default());
        }
    }
}
