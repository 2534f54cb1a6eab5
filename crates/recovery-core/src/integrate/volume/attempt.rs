//! The state of an attachment while a run waits for it. Pure: [`run_attach`](super::run_attach) observes
//! and calls EC2.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::aws::ec2::{AttachAnswer, AttachmentState, DeviceName, Instance, Volume};
use crate::error::{Error, Fault};
use crate::integrate::volume::decide::{Step, next_step};
use crate::integrate::volume::record::Attached;
use crate::integrate::volume::refusal::VolumeRefusal;
use crate::text::shown;

/// The call that attaches a volume.
pub(super) const ATTACH_VOLUME: &str = "ec2:AttachVolume";
/// How many answers of one kind end a run: that the volume or the instance is in a state in which it cannot
/// be attached, or that a device name is in use without showing by which volume. Throttled calls and lost
/// answers do not count.
const ATTEMPTS: usize = 4;
/// Checks after which a volume counts as not attached if EC2 accepted the attachment and never showed it,
/// or as deleted if EC2 does not find it. By the pauses below, they take 21 to 26 s.
const CHECKS_UNSEEN: usize = 8;
/// First and longest pause between two checks.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pauses between two checks of a volume that EC2 has accepted to attach, in milliseconds; the last one
/// repeats. Most attachments take 1 to 4 s, by AWS's own driver of EBS volumes for Kubernetes
/// (<https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/pkg/cloud/cloud.go>). Of those,
/// each is noticed 0.6 s late and takes 2.3 checks on average. EC2 accepts 5 attachments and grants
/// 20 calls of `DescribeVolumes` per second, and each attachment needs one such call beforehand: more than 3
/// checks on average would be throttled.
const ATTACHING_PAUSES: [u64; 6] = [1_500, 1_000, 1_500, 2_500, 4_000, 5_000];

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum AttachResult {
    /// The volume is attached.
    Attached(Attached),
    /// A rule forbids it.
    Refused(VolumeRefusal),
    /// It was attached before, and a person has detached it.
    Detached,
}

/// What to do after an observation or an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// Call `AttachVolume` with this device name.
    Attach(DeviceName),
    /// Call it again after a backoff, without a check: EC2 throttled the call, and nothing happened. This is
    /// the error if no time is left.
    AttachAfterBackoff(Fault),
    /// Record that EC2 refused the device name of the owner's tag, then check again.
    RecordRefusedDevice(DeviceName),
    /// Check again after a pause.
    Check,
    /// Stop.
    End(AttachResult),
}

/// What a run knows about an attachment.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    /// The last observation.
    volume: Volume,
    instance: Instance,
    /// The device name of the owner's tag, until EC2 refuses it.
    wanted: Option<&'a DeviceName>,
    /// Device names that are not used: reserved by the plan, or refused by EC2.
    unusable: BTreeSet<DeviceName>,
    refused_device: Option<DeviceName>,
    /// Whether EC2 accepted a call of this run. Observations may be older than that.
    accepted: bool,
    counts: Counts,
    pauses: Pauses,
    /// What the last check waits for.
    waiting_for: String,
    /// Why the last call did not attach the volume: the error if no time is left.
    last_fault: Option<Fault>,
}

/// How often the same happened.
#[derive(Debug, Default)]
struct Counts {
    /// Answers that the volume or the instance cannot be attached in its state.
    contested: usize,
    /// Checks that did not show which volume has the device name.
    unknown_holder: usize,
    /// Checks that did not show an accepted attachment.
    not_shown: usize,
    /// Checks, one after the other, that did not find the volume.
    not_found: usize,
}

impl<'a> Attempt<'a> {
    /// `reserved` are the device names that the plan gives to other volumes of the same instance. A volume
    /// whose owner wants a device name gets that one all the same.
    pub(super) fn new(
        volume: Volume,
        instance: Instance,
        wanted: Option<&'a DeviceName>,
        reserved: &BTreeSet<DeviceName>,
    ) -> Attempt<'a> {
        Attempt {
            volume,
            instance,
            wanted,
            unusable: match wanted {
                None => reserved.clone(),
                Some(_) => BTreeSet::new(),
            },
            refused_device: None,
            accepted: false,
            counts: Counts::default(),
            pauses: Pauses::default(),
            waiting_for: String::new(),
            last_fault: None,
        }
    }

    pub(super) fn volume(&self) -> &Volume {
        &self.volume
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Whether EC2 accepted a call of this run.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// What follows from the last observation.
    pub(super) fn next(&mut self) -> Next {
        match next_step(&self.volume, &self.instance, self.wanted, &self.unusable) {
            Step::Done { device } => self.attached(device, self.accepted),
            Step::Wait(what) => self.wait_for(what),
            // EC2 accepted the attachment: this observation is older, or the attachment failed.
            Step::Attach { .. } | Step::Refuse(VolumeRefusal::DeviceTaken { .. })
                if self.accepted =>
            {
                self.not_shown()
            }
            // Perhaps this very volume has the device name, and does not show it yet.
            Step::Refuse(VolumeRefusal::DeviceTaken { holder: None, .. })
                if self.counts.unknown_holder < ATTEMPTS =>
            {
                self.counts.unknown_holder += 1;
                self.wait_for(format!("{} to show what it has attached", self.instance.id))
            }
            Step::Refuse(refusal) => refused(refusal),
            Step::Attach { device } => Next::Attach(device),
        }
    }

    /// What follows from the answer to a call with `device`.
    ///
    /// # Errors
    /// An error that cannot succeed later, and [`Error::Retryable`] after too many answers that the volume
    /// or the instance is in no state to be attached.
    pub(super) fn answered(
        &mut self,
        device: DeviceName,
        answer: Result<AttachAnswer, Error>,
    ) -> Result<Next, Error> {
        match answer {
            Ok(AttachAnswer::Accepted { attached: true }) => {
                Ok(self.attached(device.as_str().to_owned(), true))
            }
            Ok(AttachAnswer::Accepted { attached: false }) => Ok(self.accepted()),
            Ok(AttachAnswer::Busy(fault)) => Ok(Next::AttachAfterBackoff(fault)),
            Ok(AttachAnswer::DeviceInUse(fault)) => {
                self.unusable.insert(device);
                Ok(self.check_after(fault))
            }
            Ok(AttachAnswer::DeviceRefused(fault)) => Ok(self.device_refused(device, fault)),
            Ok(AttachAnswer::Modifying(fault)) => {
                // A modification takes minutes.
                self.pauses.next = LONGEST_PAUSE;
                Ok(self.check_after(fault))
            }
            Ok(AttachAnswer::Contested(fault)) => self.contested(fault),
            Err(Error::Retryable(fault)) => Ok(self.check_after(fault)),
            Err(permanent) => Err(permanent),
            Ok(AttachAnswer::ZoneMismatch(_)) => Ok(refused(VolumeRefusal::ZoneMismatch {
                volume: self.volume.id.clone(),
                volume_zone: self.volume.zone.clone(),
                instance: self.instance.id.clone(),
                instance_zone: self.instance.zone.clone(),
            })),
            Ok(AttachAnswer::LimitExceeded(fault)) => Ok(refused(VolumeRefusal::AttachmentLimit {
                instance: self.instance.id.clone(),
                message: fault.message().to_owned(),
            })),
            Ok(AttachAnswer::KeyUnusable(fault)) => Ok(refused(VolumeRefusal::KeyUnusable {
                volume: self.volume.id.clone(),
                instance: self.instance.id.clone(),
                key: self.volume.key.clone(),
                message: fault.message().to_owned(),
            })),
            Ok(AttachAnswer::ProductCode(fault)) => Ok(refused(VolumeRefusal::ProductCode {
                volume: self.volume.id.clone(),
                instance: self.instance.id.clone(),
                message: fault.message().to_owned(),
            })),
            Ok(AttachAnswer::Unsupported(fault)) => Ok(refused(VolumeRefusal::Unsupported {
                volume: self.volume.id.clone(),
                instance: self.instance.id.clone(),
                message: fault.message().to_owned(),
            })),
        }
    }

    /// What follows from a check. A check that failed is repeated, too: it may have been throttled.
    ///
    /// # Errors
    /// An error that cannot succeed later.
    pub(super) fn observed(
        &mut self,
        observed: Result<(Volume, Instance), Error>,
    ) -> Result<Next, Error> {
        match observed {
            Ok((volume, instance)) => {
                (self.volume, self.instance) = (volume, instance);
                self.counts.not_found = 0;
                Ok(self.next())
            }
            Err(Error::Retryable(fault)) if is_not_found(&fault) => {
                self.counts.not_found += 1;
                if self.counts.not_found == CHECKS_UNSEEN {
                    let volume = self.volume.id.clone();
                    return Ok(refused(VolumeRefusal::VolumeGone { volume }));
                }
                Ok(self.check_after(fault))
            }
            Err(Error::Retryable(fault)) => {
                self.counts.not_found = 0;
                Ok(self.check_after(fault))
            }
            Err(permanent) => Err(permanent),
        }
    }

    /// The pause before the next check.
    pub(super) fn pause(&mut self) -> Duration {
        self.pauses.take(self.accepted)
    }

    /// The error if no time is left for another check.
    pub(super) fn out_of_time(self) -> Error {
        let Attempt {
            volume,
            instance,
            waiting_for,
            last_fault,
            ..
        } = self;
        Error::Retryable(last_fault.unwrap_or_else(|| {
            Fault::new(
                ATTACH_VOLUME,
                format!("{} to {}", volume.id, instance.id),
                format!("the function's time was used up while it waited for {waiting_for}"),
                remedy_of_wait(&volume, &instance),
            )
        }))
    }

    fn attached(&self, device: String, by_this_run: bool) -> Next {
        Next::End(AttachResult::Attached(Attached {
            size: None,
            volume: self.volume.id.clone(),
            instance: self.instance.id.clone(),
            device,
            by_this_run,
            refused_device: self.refused_device.clone(),
        }))
    }

    fn accepted(&mut self) -> Next {
        self.accepted = true;
        self.last_fault = None;
        self.wait_for_attachment()
    }

    fn not_shown(&mut self) -> Next {
        self.counts.not_shown += 1;
        if self.counts.not_shown == CHECKS_UNSEEN {
            return refused(VolumeRefusal::AttachmentDropped {
                volume: self.volume.id.clone(),
                instance: self.instance.id.clone(),
                key: self.volume.key.clone(),
            });
        }
        self.wait_for_attachment()
    }

    /// The volume is attached all the same, with another device name. The item records that first: if this
    /// run ends early, the next one does not know it.
    fn device_refused(&mut self, device: DeviceName, fault: Fault) -> Next {
        self.last_fault = Some(fault);
        if self.wanted.take().is_some() {
            self.refused_device = Some(device.clone());
            return Next::RecordRefusedDevice(device);
        }
        self.unusable.insert(device);
        Next::Check
    }

    fn contested(&mut self, fault: Fault) -> Result<Next, Error> {
        self.counts.contested += 1;
        if self.counts.contested == ATTEMPTS {
            return Err(Error::Retryable(fault));
        }
        Ok(self.check_after(fault))
    }

    fn check_after(&mut self, fault: Fault) -> Next {
        self.last_fault = Some(fault);
        Next::Check
    }

    fn wait_for(&mut self, what: String) -> Next {
        self.waiting_for = what;
        Next::Check
    }

    fn wait_for_attachment(&mut self) -> Next {
        self.wait_for(format!(
            "{} to be attached to {}",
            self.volume.id, self.instance.id
        ))
    }
}

fn refused(refusal: VolumeRefusal) -> Next {
    Next::End(AttachResult::Refused(refusal))
}

/// Whether EC2 says that the volume does not exist.
pub(super) fn is_not_found(fault: &Fault) -> bool {
    fault.code() == Some("InvalidVolume.NotFound")
}

/// What a person can do about a volume that stays in its state.
fn remedy_of_wait(volume: &Volume, instance: &Instance) -> String {
    let id = &volume.id;
    let attachment = volume
        .attachments
        .iter()
        .find(|attachment| attachment.instance == instance.id);
    let instance = &instance.id;
    match attachment.map(|at| (&at.state, shown(&at.device))) {
        // https://docs.aws.amazon.com/ebs/latest/userguide/ebs-attaching-volume.html
        Some((AttachmentState::Attaching, device)) => format!(
            "The integration is retried automatically. If the state does not change for several minutes, check in the guest operating system of {instance} whether something else uses the name {device} (an instance store, or a volume that was detached while it was mounted), and whether the NVMe driver is loaded. Reboot {instance}, or stop and start it. If that does not help, force the detachment (`aws ec2 detach-volume --volume-id {id} --force`), set another recovery:device on the recovery point, and run the integration of this restore job again."
        ),
        // https://docs.aws.amazon.com/ebs/latest/userguide/ebs-detaching-volume.html
        Some((AttachmentState::Detaching | AttachmentState::Busy, device)) => format!(
            "The integration is retried automatically. A detachment waits for the guest operating system: unmount {device} on {instance}, or stop {instance}. The volume is then attached again."
        ),
        _ => "No action needed. The integration is retried automatically.".to_owned(),
    }
}

/// The pauses between checks.
#[derive(Debug)]
struct Pauses {
    next: Duration,
    /// How many pauses were taken since EC2 accepted the attachment.
    attaching: usize,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses {
            next: FIRST_PAUSE,
            attaching: 0,
        }
    }
}

impl Pauses {
    fn take(&mut self, accepted: bool) -> Duration {
        if accepted {
            let pause = ATTACHING_PAUSES.get(self.attaching);
            self.attaching += 1;
            return pause.copied().map_or(LONGEST_PAUSE, Duration::from_millis);
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attachments of which EC2 takes 1 to 4 s, all alike: how many checks each takes, and how late each is
    /// noticed.
    #[test]
    fn pauses_suit_the_time_that_ec2_takes() {
        let (mut checks, mut late) = (0, 0);
        let times: Vec<u64> = (1_000..4_000).collect();
        for takes in &times {
            let mut now = 0;
            for pause in ATTACHING_PAUSES {
                now += pause;
                checks += 1;
                if now >= *takes {
                    break;
                }
            }
            late += now - takes;
        }
        let count = times.len() as u64;
        // 20 calls a second, 5 attachments a second, one check before each.
        assert!(checks <= 3 * count, "{checks} checks of {count}");
        assert!(late / count <= 600, "{} ms late", late / count);
    }
}
