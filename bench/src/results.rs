//! All that was measured in one run.

use crate::calls::Call;
use crate::measure::{Cold, Warm};
use crate::sizes::Composition;

/// All that was measured in one run.
#[derive(Default)]
pub(crate) struct Results {
    /// On what and with what, as names and values.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// Cold, with nothing added to a call: everything there is.
    pub(crate) cold: Vec<Of<Cold>>,
    /// Cold, with [`LATENCY_MS`] added to each call: the integrator and its peers.
    pub(crate) distant: Vec<Of<Cold>>,
    /// The same, with the processor share of a memory size in megabytes.
    pub(crate) throttled: Vec<(u32, Vec<Of<Cold>>)>,
    /// What throttled the processor.
    pub(crate) throttle: String,
    /// Warm, with nothing added to a call.
    pub(crate) warm: Vec<Of<Warm>>,
    /// Bytes of the zip archive.
    pub(crate) zips: Vec<Of<u64>>,
    /// The calls in each scenario.
    pub(crate) calls: Vec<ScenarioCalls>,
    /// What each function consists of.
    pub(crate) compositions: Vec<Of<Composition>>,
    /// How often things were done, in words.
    pub(crate) rounds: String,
}

/// Added to each call where that is said: about what a call to an AWS service in the same Region
/// takes.
pub(crate) const LATENCY_MS: u64 = 30;

/// A number of a program.
pub(crate) struct Of<T> {
    pub(crate) program: String,
    pub(crate) value: T,
}

/// The calls that a function made in a scenario.
pub(crate) struct ScenarioCalls {
    pub(crate) function: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) calls: Vec<Call>,
}

/// The number of a program, if there is one.
pub(crate) fn of<'a, T>(list: &'a [Of<T>], program: &str) -> Option<&'a T> {
    list.iter()
        .find(|of| of.program == program)
        .map(|of| &of.value)
}
