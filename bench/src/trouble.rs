//! What keeps the benchmark from running, with the remedy.

use std::fmt;

/// Something that is not as the benchmark needs it.
#[derive(Debug)]
pub(crate) struct Trouble {
    what: String,
    remedy: String,
}

/// The result of what may meet trouble.
pub(crate) type Result<T> = std::result::Result<T, Trouble>;

impl Trouble {
    /// `what` is wrong, and how it is put right.
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Trouble {
        Trouble {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// For [`std::result::Result::map_err`]: what could not be done, with the error behind it.
    pub(crate) fn because<E: fmt::Display>(
        what: impl fmt::Display,
        remedy: &'static str,
    ) -> impl FnOnce(E) -> Trouble {
        move |error| Trouble::new(format!("{what}: {error}"), remedy)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.remedy)
    }
}
