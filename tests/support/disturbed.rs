//! A world in which one chosen call goes wrong, or in which others act between two calls.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use recovery_core::arn::{InstanceId, OpsItemId, RecoveryPointArn, RestoreJobId, VolumeId};
use recovery_core::error::{Error, Fault};
use recovery_core::fakes::{World, tags_operation};
use recovery_core::integrate::{DeviceName, Instance, Volume};
use recovery_core::ops_item::{Claim, ItemKey, NewOpsItem, OpsItem, OpsItemChange};
use recovery_core::outcome::Outcome;
use recovery_core::ports::{
    AttachAnswer, Instances, Notification, Notifications, OpsItems, Page, RecoveryPointTags,
    RestoreJobs, RestoreTests, Restores, Runbooks, StackResource, StackResources, Volumes,
};
use recovery_core::restore_job::RestoreJob;
use recovery_core::restore_test::{Report, RestoreTest, Snapshot, TestVolume};
use recovery_core::tags::Tags;

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// AWS refuses it for now; nothing happened.
    Throttled,
    /// It takes effect, and the answer is lost.
    AnswerLost,
    /// AWS refuses it for good.
    Denied,
    /// The process ends before the call is made.
    DiesBefore,
    /// The process ends when the call has taken effect.
    DiesAfter,
}

/// Every kind of trouble.
pub(crate) const TROUBLES: [Trouble; 5] = [
    Trouble::Throttled,
    Trouble::AnswerLost,
    Trouble::Denied,
    Trouble::DiesBefore,
    Trouble::DiesAfter,
];

/// What another party does to the world.
type Intrusion<'a> = Box<dyn FnOnce(&World) + Send + 'a>;

/// One run's view of the world.
pub(crate) struct Disturbed<'a> {
    world: &'a World,
    calls: AtomicUsize,
    trouble: Option<(usize, Trouble)>,
    intrusion: Mutex<Option<(Moment, Intrusion<'a>)>>,
}

/// When another party acts.
enum Moment {
    /// Before the call with this number, counted from 0.
    Call(usize),
    /// Before the first call of this operation.
    Operation(&'static str),
}

impl<'a> Disturbed<'a> {
    /// The world as it is.
    pub(crate) fn not(world: &'a World) -> Disturbed<'a> {
        Disturbed {
            world,
            calls: AtomicUsize::new(0),
            trouble: None,
            intrusion: Mutex::new(None),
        }
    }

    /// The call with this number, counted from 0, meets this trouble.
    pub(crate) fn at(world: &'a World, call: usize, trouble: Trouble) -> Disturbed<'a> {
        Disturbed {
            trouble: Some((call, trouble)),
            ..Disturbed::not(world)
        }
    }

    /// Someone else acts right before the call with this number.
    pub(crate) fn between(
        world: &'a World,
        call: usize,
        act: impl FnOnce(&World) + Send + 'a,
    ) -> Disturbed<'a> {
        Disturbed {
            intrusion: Mutex::new(Some((Moment::Call(call), Box::new(act)))),
            ..Disturbed::not(world)
        }
    }

    /// Someone else acts right before the first call of this operation.
    pub(crate) fn before(
        world: &'a World,
        operation: &'static str,
        act: impl FnOnce(&World) + Send + 'a,
    ) -> Disturbed<'a> {
        Disturbed {
            intrusion: Mutex::new(Some((Moment::Operation(operation), Box::new(act)))),
            ..Disturbed::not(world)
        }
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let intrusion = {
            let mut intrusion = self
                .intrusion
                .lock()
                .expect("no test panics in an intrusion");
            let due = matches!(&*intrusion,
                Some((Moment::Call(at), _)) if *at == number)
                || matches!(&*intrusion, Some((Moment::Operation(at), _)) if *at == operation);
            if due { intrusion.take() } else { None }
        };
        if let Some((_, act)) = intrusion {
            act(self.world);
        }
        let fault = |code: &str| {
            Fault::new(
                operation,
                "a call",
                "disturbed by a test",
                "Deliver it again.",
            )
            .with_code(code)
        };
        let trouble = self
            .trouble
            .filter(|(at, _)| *at == number)
            .map(|(_, trouble)| trouble);
        match trouble {
            None => call.await,
            Some(Trouble::Throttled) => Err(Error::Retryable(fault("ThrottlingException"))),
            Some(Trouble::Denied) => Err(Error::Permanent(fault("AccessDeniedException"))),
            Some(Trouble::AnswerLost) => {
                // What failed by itself has an answer to lose, too.
                call.await?;
                Err(Error::Retryable(fault("timeout")))
            }
            Some(Trouble::DiesBefore) => std::future::pending().await,
            Some(Trouble::DiesAfter) => {
                // Whatever it answered, nobody hears it.
                drop(call.await);
                std::future::pending().await
            }
        }
    }
}

/// The answer of a run, or nothing if the process ended in the middle.
///
/// Nothing in these worlds waits for anything, so one poll is the whole run: no runtime, no time.
pub(crate) fn run(
    handle: impl Future<Output = Result<Outcome, Error>>,
) -> Option<Result<Outcome, Error>> {
    handle.now_or_never()
}

/// The answer of a run in which no process ends.
pub(crate) fn finish(
    handle: impl Future<Output = Result<Outcome, Error>>,
) -> Result<Outcome, Error> {
    run(handle).expect("nothing in this world waits")
}

impl RestoreJobs for Disturbed<'_> {
    async fn restore_job(&self, id: &RestoreJobId) -> Result<RestoreJob, Error> {
        self.call("backup:DescribeRestoreJob", self.world.restore_job(id))
            .await
    }
}

impl Restores for Disturbed<'_> {
    async fn completed_restores(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<RestoreJob>, Error> {
        self.call(
            "backup:ListRestoreJobs",
            self.world.completed_restores(since, page),
        )
        .await
    }

    async fn volumes(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, Error> {
        self.call("ec2:DescribeVolumes", self.world.volumes(ids))
            .await
    }

    async fn tags_together(
        &self,
        points: &[RecoveryPointArn],
    ) -> Result<BTreeMap<RecoveryPointArn, Tags>, Error> {
        self.call("ec2:DescribeTags", self.world.tags_together(points))
            .await
    }
}

impl RestoreTests for Disturbed<'_> {
    async fn restore_test(&self, id: &RestoreJobId) -> Result<RestoreTest, Error> {
        self.call("backup:DescribeRestoreJob", self.world.restore_test(id))
            .await
    }

    async fn test_volume(&self, id: &VolumeId) -> Result<Option<TestVolume>, Error> {
        self.call("ec2:DescribeVolumes", self.world.test_volume(id))
            .await
    }

    async fn snapshot(&self, id: &str) -> Result<Option<Snapshot>, Error> {
        self.call("ec2:DescribeSnapshots", self.world.snapshot(id))
            .await
    }

    async fn report(&self, id: &RestoreJobId, report: &Report) -> Result<(), Error> {
        self.call(
            "backup:PutRestoreValidationResult",
            self.world.report(id, report),
        )
        .await
    }
}

impl RecoveryPointTags for Disturbed<'_> {
    async fn tags(&self, point: &RecoveryPointArn) -> Result<Tags, Error> {
        self.call(tags_operation(point)?, self.world.tags(point))
            .await
    }
}

impl StackResources for Disturbed<'_> {
    async fn stack_resource(
        &self,
        stack: &str,
        logical_id: &str,
    ) -> Result<Option<StackResource>, Error> {
        self.call(
            "cloudformation:DescribeStackResource",
            self.world.stack_resource(stack, logical_id),
        )
        .await
    }
}

impl Volumes for Disturbed<'_> {
    async fn volume(&self, id: &VolumeId) -> Result<Volume, Error> {
        self.call("ec2:DescribeVolumes", self.world.volume(id))
            .await
    }

    async fn attach(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &DeviceName,
    ) -> Result<AttachAnswer, Error> {
        self.call(
            "ec2:AttachVolume",
            self.world.attach(volume, instance, device),
        )
        .await
    }
}

impl Instances for Disturbed<'_> {
    async fn instance(&self, id: &InstanceId) -> Result<Instance, Error> {
        self.call("ec2:DescribeInstances", self.world.instance(id))
            .await
    }

    async fn stack_instances(&self, stack: &str, logical_id: &str) -> Result<Vec<Instance>, Error> {
        self.call(
            "ec2:DescribeInstances",
            self.world.stack_instances(stack, logical_id),
        )
        .await
    }

    async fn group_instances(&self, group: &str) -> Result<Vec<Instance>, Error> {
        self.call("ec2:DescribeInstances", self.world.group_instances(group))
            .await
    }
}

impl OpsItems for Disturbed<'_> {
    async fn find(&self, key: &ItemKey) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", self.world.find(key))
            .await
    }

    async fn open(&self, kind: &'static str) -> Result<Vec<OpsItem>, Error> {
        self.call("ssm:DescribeOpsItems", self.world.open(kind))
            .await
    }

    async fn get(&self, id: &OpsItemId) -> Result<OpsItem, Error> {
        self.call("ssm:GetOpsItem", self.world.get(id)).await
    }

    async fn create(&self, item: &NewOpsItem) -> Result<Claim, Error> {
        self.call("ssm:CreateOpsItem", self.world.create(item))
            .await
    }

    async fn update(&self, id: &OpsItemId, change: &OpsItemChange) -> Result<(), Error> {
        self.call("ssm:UpdateOpsItem", self.world.update(id, change))
            .await
    }
}

impl Notifications for Disturbed<'_> {
    async fn notify(&self, notification: &Notification) -> Result<(), Error> {
        self.call("sns:Publish", self.world.notify(notification))
            .await
    }
}

impl Runbooks for Disturbed<'_> {
    async fn start(
        &self,
        runbook: &str,
        token: &str,
        parameters: &[(&'static str, String)],
    ) -> Result<String, Error> {
        self.call(
            "ssm:StartAutomationExecution",
            self.world.start(runbook, token, parameters),
        )
        .await
    }
}
