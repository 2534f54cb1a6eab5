//! Messages to operators.

use crate::text;

/// Longest text message, in bytes. An SMS has 140. SNS prefixes the first ten characters of the topic's
/// display name and `> `. A longer text is sent, and charged, as several messages.
pub const TEXT_MESSAGE_LIMIT: usize = 140 - "RAPID RECO> ".len();

/// A message to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// One line. See [`Notification::limited_subject`] for what SNS accepts.
    pub subject: String,
    /// The end of a text message, after the subject: the id of the OpsItem, or what to do. It is short: see
    /// [`Notification::text_message`].
    pub pointer: String,
    /// Plain text: what happened, why, what was done, what to do.
    pub message: String,
    /// For subscription filters.
    pub attributes: Vec<(&'static str, String)>,
}

impl Notification {
    /// The subject as SNS accepts it: ASCII, at most 99 characters, no control characters.
    /// <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>
    pub fn limited_subject(&self) -> String {
        let limited: String = ascii(&self.subject).chars().take(99).collect();
        limited.trim_end().to_owned()
    }

    /// The text message: subject and pointer in one SMS. If both together are too long, the subject is cut.
    /// All characters are ASCII, because another one would halve the length of an SMS.
    pub fn text_message(&self) -> String {
        let mut pointer = ascii(&self.pointer);
        pointer.truncate(TEXT_MESSAGE_LIMIT / 2);
        let subject = ascii(&self.subject);
        let subject = subject.trim_end().trim_end_matches('.');
        let room = TEXT_MESSAGE_LIMIT - "... ".len() - pointer.len();
        let end = if subject.len() > room { "..." } else { "." };
        let subject = subject[..room.min(subject.len())].trim_end();
        format!("{subject}{end} {pointer}").trim_end().to_owned()
    }

    /// The message without invisible characters, within the 256 KiB of SNS.
    pub fn limited_message(&self) -> String {
        text::within(&text::lines(&self.message), 250_000)
    }
}

/// `text` on one line of ASCII characters.
fn ascii(text: &str) -> String {
    text::one_line(text)
        .trim_start()
        .chars()
        .map(|c| if c.is_ascii() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(subject: &str, pointer: &str) -> String {
        Notification {
            subject: subject.to_owned(),
            pointer: pointer.to_owned(),
            message: "m".to_owned(),
            attributes: Vec::new(),
        }
        .text_message()
    }

    #[test]
    fn text_message_fits_one_sms_and_keeps_the_pointer() {
        assert_eq!(
            text("Recovery of shop complete: RTO 22 min", "OpsItem oi-1."),
            "Recovery of shop complete: RTO 22 min. OpsItem oi-1."
        );
        assert_eq!(text("Alarm a in us-west-2.", ""), "Alarm a in us-west-2.");
        assert_eq!(
            text("Störung\n🌊", "OpsItem oi-1."),
            "St?rung ?. OpsItem oi-1."
        );
        // A long title is truncated, not the pointer.
        let long = text(&"alarm ".repeat(60), "OpsItem oi-0123456789ab.");
        assert!(long.len() <= TEXT_MESSAGE_LIMIT, "{long}");
        assert!(long.ends_with("... OpsItem oi-0123456789ab."), "{long}");
        let long = text(&"x".repeat(300), &"ä".repeat(300));
        assert!(
            long.len() <= TEXT_MESSAGE_LIMIT && long.is_ascii(),
            "{long}"
        );
        assert_eq!(TEXT_MESSAGE_LIMIT, 128);
    }
}
