//! What OpsCenter, SNS and the people behind them can be sent. [`World`](super::World) notes
//! everything else that it is sent as a problem.
//!
//! Limits: <https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_CreateOpsItem.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>.

use crate::notification::{Notification, TEXT_MESSAGE_LIMIT};
use crate::ops_item::{DATA_LIMIT, DESCRIPTION_LIMIT, KEY_LIMIT, TITLE_LIMIT};
use crate::text;

/// Characters that mean something in Markdown and that our own prose has no use for.
const MARKDOWN: &str = "<>[]{}|\\&~#";

/// What is wrong with the title of an OpsItem.
pub(super) fn title(title: &str) -> Option<String> {
    line("title", title, TITLE_LIMIT)
}

/// What is wrong with the key of an OpsItem. It is also given to runbooks, where Systems Manager
/// resolves `{{ … }}`.
pub(super) fn key(key: &str) -> Option<String> {
    let foreign = || key.contains(['{', '}', '"', '\\', '`', '<', '>']);
    line("key", key, KEY_LIMIT)
        .or_else(|| foreign().then(|| format!("a key that means something elsewhere: {key:?}")))
}

/// What is wrong with a value of operational data.
pub(super) fn data(key: &str, value: &str) -> Option<String> {
    line(key, value, DATA_LIMIT)
}

/// What is wrong with the description of an OpsItem: its length, or a text from elsewhere that could
/// act as Markdown, because it stands outside code.
pub(super) fn description(description: &str) -> Option<String> {
    if description.trim().is_empty() || description.len() > DESCRIPTION_LIMIT {
        return Some(format!("a description of {} bytes", description.len()));
    }
    description.split('\n').find_map(|line| {
        let quoted = line.strip_prefix('>').unwrap_or(line);
        let parts: Vec<&str> = quoted.split('`').collect();
        let prose = |c: char| c == '…' || (c.is_ascii() && !MARKDOWN.contains(c));
        let mut outside = parts.iter().step_by(2).flat_map(|part| part.chars());
        let mut code = parts.iter().skip(1).step_by(2);
        let wrong = hidden(line)
            || parts.len().is_multiple_of(2)
            || code.any(|code| code.is_empty())
            || !outside.all(prose);
        wrong.then(|| format!("a description that says more than it shows: {line:?}"))
    })
}

/// What is wrong with a message to people.
pub(super) fn notification(told: &Notification) -> Option<String> {
    let subject = told.limited_subject();
    let message = told.limited_message();
    let printable = |c: char| c == ' ' || c.is_ascii_graphic();
    if subject.trim() != subject
        || subject.is_empty()
        || subject.len() >= 100
        || !subject.chars().all(printable)
    {
        return Some(format!("a subject that SNS does not take: {subject:?}"));
    }
    let attributes = told.attributes.iter();
    let sizes = attributes.map(|(name, value)| name.len() + "String".len() + value.len());
    let size = subject.len() + message.len() + sizes.sum::<usize>();
    let phone = told.text_message();
    if phone.len() > TEXT_MESSAGE_LIMIT || !phone.chars().all(printable) || phone.trim().is_empty()
    {
        return Some(format!("a text message that phones do not show: {phone:?}"));
    }
    if message.trim().is_empty() || size > 256 * 1024 {
        return Some(format!("a message of {size} bytes"));
    }
    if let Some(line) = message.split('\n').find(|line| hidden(line)) {
        return Some(format!("a message with hidden characters: {line:?}"));
    }
    let mut attributes = told.attributes.iter();
    attributes.find_map(|(name, value)| line(name, value, 256))
}

fn line(what: &str, text: &str, limit: usize) -> Option<String> {
    let blank = text.trim().is_empty();
    (blank || text.len() > limit || hidden(text)).then(|| {
        let shown: String = text.chars().take(300).collect();
        format!("{what} of {} bytes: {shown:?}", text.len())
    })
}

/// Whether there are controls in it, or characters that cannot be seen or turn the direction of reading.
fn hidden(line: &str) -> bool {
    text::one_line(line) != line
}
