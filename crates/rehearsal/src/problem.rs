//! The error of a rehearsal that could not be played.

use std::fmt;

/// What went wrong and the remedy, in one text.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    /// A problem without another error.
    pub(crate) fn said(text: impl Into<String>) -> Problem {
        Problem(text.into())
    }

    /// A problem caused by `error`, with all its causes.
    pub(crate) fn new(what: impl fmt::Display, error: impl std::error::Error) -> Problem {
        let mut text = format!("{what}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Problem(text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
