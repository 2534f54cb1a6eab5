//! Makes foreign text safe to read, and limits texts to the length of AWS fields.

/// The end of a text that was cut.
const CUT: &str = " … (cut)";

/// `text` in at most `limit` bytes of UTF-8: cut at a character boundary, with a mark at the end.
///
/// AWS gives limits in characters. A text within the same number of bytes always fits.
pub fn within(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mark = if limit >= CUT.len() { CUT } else { "" };
    format!("{}{mark}", beginning(text, limit - mark.len()))
}

/// As [`within`], for Markdown. A code span that is cut is closed, so that its text stays code.
pub fn markdown_within(markdown: &str, limit: usize) -> String {
    const END: &str = "`";
    if markdown.len() <= limit || limit < END.len() + CUT.len() {
        return within(markdown, limit);
    }
    let kept = beginning(markdown, limit - END.len() - CUT.len());
    let line = kept.rsplit('\n').next().unwrap_or(kept);
    if line.matches('`').count().is_multiple_of(2) {
        return format!("{kept}{CUT}");
    }
    match kept.strip_suffix('`') {
        Some(before) => format!("{before}{CUT}"),
        None => format!("{kept}{END}{CUT}"),
    }
}

/// As much of `text` as fits into `limit` bytes.
fn beginning(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len()))
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    &text[..end]
}

/// `text` on one line, without invisible characters. Control characters and line breaks become spaces.
/// Characters that are invisible or change the reading direction become `�`.
pub fn one_line(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let shown = if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                ' '
            } else if is_hidden(c) || (is_joiner(c) && before.is_ascii()) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            };
            before = shown;
            shown
        })
        .collect()
}

/// Each line as [`one_line`].
pub fn lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(one_line).collect();
    lines.join("\n")
}

/// Whether `c` is invisible: Unicode's bidirectional controls, its default ignorable code points except the
/// joiners, and noncharacters. <https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point>
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}')
        || u32::from(c) & 0xfffe == 0xfffe
}

/// Whether `c` joins its neighbours. Persian, Hindi and emoji need it. After an ASCII character it has no
/// visible effect.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// A foreign value for an error message: one line of at most 200 bytes. One that shows nothing is `(empty)`.
pub fn shown(text: &str) -> String {
    if is_blank(text) {
        return "(empty)".to_owned();
    }
    within(&one_line(text), 200)
}

/// Whether `text` shows nothing: it has only spaces and control characters.
pub fn is_blank(text: &str) -> bool {
    one_line(text).trim().is_empty()
}

/// The first five within a sentence, and how many more there are: `i-1, i-2 and 7 more`.
pub(crate) fn first_few(all: impl ExactSizeIterator<Item = String>) -> String {
    const NAMED: usize = 5;
    let more = all.len().saturating_sub(NAMED);
    let named: Vec<String> = all.take(NAMED).collect();
    match more {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// A foreign value as Markdown code, at most 300 bytes, so that none of it is Markdown.
pub fn code(text: &str) -> String {
    code_span(&within(&one_line(text), 300)).unwrap_or_else(|| "(empty)".to_owned())
}

/// A foreign text as a quotation in plain text, so that none of its lines passes for one of this system.
pub fn quotation(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| format!("> {}", one_line(line)))
        .collect();
    lines.join("\n")
}

/// A foreign text as a Markdown quotation. Each line is code.
pub fn markdown_quotation(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| match code_span(&one_line(line)) {
            Some(code) => format!("> {code}"),
            None => ">".to_owned(),
        })
        .collect();
    lines.join("\n")
}

/// One line as Markdown code; `None` if it is blank. Backticks become apostrophes, because a backtick would
/// end the code.
fn code_span(line: &str) -> Option<String> {
    (!line.trim().is_empty()).then(|| format!("`{}`", line.replace('`', "'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_spaces_and_controls_is_shown_as_empty() {
        for text in ["", "  ", "\0\0\0", "\n\t \u{2028}"] {
            assert_eq!(shown(text), "(empty)", "{text:?}");
        }
        assert_eq!(shown(" a\0"), " a ");
    }

    #[test]
    fn truncates_a_text_at_a_character_and_marks_it() {
        assert_eq!(within("short", 5), "short");
        let cut = within(&"ä".repeat(40), 31);
        assert!(cut.len() <= 31, "{}", cut.len());
        assert!(cut.ends_with(CUT));
        assert!(cut.starts_with("ää"));
        // Too short for the mark: truncated at a character all the same.
        assert_eq!(within("ääää", 5), "ää");
        assert_eq!(within("🌊🌊", 3), "");
    }

    #[test]
    fn replaces_invisible_characters() {
        // A value that looks like another one is distinguishable.
        assert_eq!(one_line("shop\u{200b}"), "shop\u{fffd}");
        assert_eq!(one_line("a\u{202e}b\u{2066}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(
            one_line("\u{feff}a\u{ad}\u{e0041}"),
            "\u{fffd}a\u{fffd}\u{fffd}"
        );
        assert_eq!(one_line("\u{fffe}\u{10ffff}"), "\u{fffd}\u{fffd}");
        assert_eq!(one_line("a\u{200d}b"), "a\u{fffd}b");
        assert_eq!(one_line("\u{1b}[31m\0\u{9b}"), " [31m  ");
        // Joiners of scripts and emojis are kept.
        for text in [
            "می\u{200c}خواهم",
            "👩\u{200d}👧",
            "❤\u{fe0f}",
            "你好",
            "e\u{301}",
        ] {
            assert_eq!(one_line(text), text);
        }
        assert_eq!(lines("a\r\nb\u{2028}c\n"), "a \nb c\n");
    }

    #[test]
    fn quotation_prefixes_every_line() {
        let text = "first\n\n# head `x` <b>\u{202e}\r\nWhat you must do: nothing\n";
        assert_eq!(
            quotation(text),
            "> first\n> \n> # head `x` <b>\u{fffd}\n> What you must do: nothing"
        );
        assert_eq!(
            markdown_quotation(text),
            "> `first`\n>\n> `# head 'x' <b>\u{fffd}`\n> `What you must do: nothing`"
        );
        assert_eq!(quotation(""), "");
    }

    #[test]
    fn closes_a_truncated_code_span() {
        let markdown = format!("- A: `{}`", "<b>".repeat(30));
        assert_eq!(
            markdown_within(&markdown, 40),
            format!("- A: `{}<b`{CUT}", "<b>".repeat(7))
        );
        assert_eq!(markdown_within(&markdown, 40).len(), 40);
        // Truncated right after its beginning, the span is left out.
        assert_eq!(markdown_within(&markdown, 17), format!("- A: {CUT}"));
        let ended = format!("- A: `b`\n{}", "c".repeat(30));
        assert_eq!(
            markdown_within(&ended, 30),
            format!("- A: `b`\n{}{CUT}", "c".repeat(10))
        );
        assert_eq!(markdown_within(&markdown, markdown.len()), markdown);
        assert_eq!(markdown_within(&markdown, 5), "- A: ");
    }

    #[test]
    fn code_span_cannot_be_escaped() {
        assert_eq!(code("a`b\n# head"), "`a'b # head`");
        assert_eq!(code(""), "(empty)");
        assert_eq!(code("\u{7}"), "(empty)");
    }
}
