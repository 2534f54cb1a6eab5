//! The time of a run: pauses between calls, and the reserve at its end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Reserved at the end of a run, for one more check and for the record: a call takes at most 20 s with
/// all its attempts.
pub(crate) const RESERVE: Duration = Duration::from_secs(45);

const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Long enough for a thousand resources that are integrated at the same time: EC2 accepts 5 calls of
/// `AttachVolume` per second.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Exponential backoff with jitter for throttled calls. The jitter is derived from the id of the
/// resource, so that tests are deterministic and resources do not retry at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    id: String,
    pauses: u32,
}

impl Backoff {
    pub(crate) fn of(id: &str) -> Backoff {
        Backoff {
            id: id.to_owned(),
            pauses: 0,
        }
    }

    /// The next pause: between half of its full length and its full length.
    pub(crate) fn next(&mut self) -> Duration {
        let mut hasher = DefaultHasher::new();
        (&self.id, self.pauses).hash(&mut hasher);
        let whole = (FIRST_PAUSE * 2_u32.pow(self.pauses.min(10))).min(LONGEST_PAUSE);
        self.pauses += 1;
        let share = f64::from(u16::try_from(hasher.finish() >> 48).unwrap_or_default())
            / f64::from(u16::MAX);
        whole.mul_f64(0.5 + share / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_between_resources() {
        let pauses = |id: &str| -> Vec<Duration> {
            let mut backoff = Backoff::of(id);
            (0..12).map(|_| backoff.next()).collect()
        };
        let mut full = FIRST_PAUSE;
        for pause in pauses("vol-1") {
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
            full = (full * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(pauses("vol-1"), pauses("vol-1"));
        assert_ne!(pauses("vol-1"), pauses("vol-2"));
    }
}
