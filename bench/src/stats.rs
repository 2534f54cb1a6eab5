//! Medians and percentiles.

use std::time::Duration;

/// The value below which `share` of the samples lie: the nearest one. Zero where there is none.
pub(crate) fn percentile(samples: &[Duration], share: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// The middle one.
pub(crate) fn median(samples: &[Duration]) -> Duration {
    percentile(samples, 0.5)
}

/// In milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<Duration> = [5, 1, 4, 2, 3].map(Duration::from_millis).to_vec();
        assert_eq!(median(&samples), Duration::from_millis(3));
        assert_eq!(percentile(&samples, 0.99), Duration::from_millis(5));
        assert_eq!(percentile(&samples, 0.2), Duration::from_millis(1));
        assert_eq!(median(&samples[..2]), Duration::from_millis(1));
        assert_eq!(median(&[]), Duration::ZERO);
    }
}
