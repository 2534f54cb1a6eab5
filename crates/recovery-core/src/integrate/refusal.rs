//! A rule that forbids an integration.

use std::fmt;

/// Why an integration must not continue. Retrying cannot help until a person does what
/// [`remedy`](Refusal::remedy) says. `Display` gives the explanation, without a full stop.
pub trait Refusal: fmt::Display {
    /// The rule, as one kebab-case word for outcomes and operational data.
    fn reason(&self) -> &'static str;

    /// What lifts the refusal, as an instruction to the person on call.
    fn remedy(&self) -> String;

    /// The value of `mountAttempt` with which a person asks for another attempt to mount. Without it, an invocation only
    /// reports how the last attempt ended.
    fn next_attempt(&self) -> Option<u32> {
        None
    }
}
