//! What an operator reads about an event, an incident or a job, in four parts.

use crate::ops_item::DESCRIPTION_LIMIT;
use crate::text::markdown_within;

/// The four parts, as Markdown for an OpsItem or as plain text for a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What happened, with ids and times.
    pub happened: String,
    pub why: String,
    /// What this system did already.
    pub done: String,
    /// What the operator must do.
    pub action: String,
}

impl Explanation {
    /// The description of an OpsItem. If it is too long, the first two parts are cut, so that the operator always
    /// reads what to do.
    pub fn markdown(&self) -> String {
        let describe = |happened: &str, why: &str| {
            format!(
                "**What happened.** {happened}\n\n**Why.** {why}\n\n**What was done.** {}\n\n**What to do.** {}",
                self.done, self.action
            )
        };
        let room = DESCRIPTION_LIMIT.saturating_sub(describe("", "").len());
        let for_why = self.why.len().min(room / 3);
        let happened = markdown_within(&self.happened, room - for_why);
        let why = markdown_within(&self.why, room.saturating_sub(happened.len()));
        describe(&happened, &why)
    }

    /// The message of a notification.
    pub fn plain(&self, title: &str) -> String {
        let Explanation {
            happened,
            why,
            done,
            action,
        } = self;
        format!(
            "{title}.\n\nWhat happened\n{happened}\n\nWhy\n{why}\n\nWhat was done\n{done}\n\nWhat to do\n{action}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_action_is_never_cut() {
        for (happened, why) in [(3_000, 10), (10, 3_000), (3_000, 3_000), (900, 1_500)] {
            let explanation = Explanation {
                happened: "h".repeat(happened),
                why: format!("`{}`", "w".repeat(why)),
                done: "Nothing.".to_owned(),
                action: "Fix the cause.".to_owned(),
            };
            let markdown = explanation.markdown();
            assert!(markdown.len() <= DESCRIPTION_LIMIT, "{}", markdown.len());
            assert!(
                markdown.len() > DESCRIPTION_LIMIT - 50,
                "{}",
                markdown.len()
            );
            assert!(markdown.ends_with("**What to do.** Fix the cause."));
            assert!(markdown.matches('`').count().is_multiple_of(2));
        }
    }

    #[test]
    fn a_short_explanation_is_complete() {
        let explanation = Explanation {
            happened: "A.".to_owned(),
            why: "B.".to_owned(),
            done: "C.".to_owned(),
            action: "D.".to_owned(),
        };
        assert_eq!(
            explanation.markdown(),
            "**What happened.** A.\n\n**Why.** B.\n\n**What was done.** C.\n\n**What to do.** D."
        );
        assert_eq!(
            explanation.plain("Title"),
            "Title.\n\nWhat happened\nA.\n\nWhy\nB.\n\nWhat was done\nC.\n\nWhat to do\nD.\n"
        );
    }
}
