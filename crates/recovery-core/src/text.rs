//! Text from elsewhere, made safe for people's eyes and within the limits of AWS fields.

/// What stands at the end of a text that was cut.
const CUT: &str = " … (cut)";

/// `text` in at most `limit` bytes of UTF-8, cut at a character boundary and saying so.
///
/// AWS limits are given in characters; counted in bytes, a text fits however the service counts.
pub fn within(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mark = if limit >= CUT.len() { CUT } else { "" };
    let end = (0..=limit - mark.len())
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}{mark}", &text[..end])
}

/// `text` on one line: control characters and line breaks become spaces.
pub fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                ' '
            } else {
                c
            }
        })
        .collect()
}

/// A value of unknown origin for an error message: one line, not long.
pub fn shown(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    within(&one_line(text), 200)
}

/// A value of unknown origin as Markdown code, so that nothing in it acts as Markdown.
pub fn code(text: &str) -> String {
    let inner = within(&one_line(text), 300).replace('`', "'");
    if inner.trim().is_empty() {
        return "(empty)".to_owned();
    }
    format!("`{inner}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_and_says_so() {
        assert_eq!(within("short", 5), "short");
        let cut = within(&"ä".repeat(40), 31);
        assert!(cut.len() <= 31, "{}", cut.len());
        assert!(cut.ends_with(CUT));
        assert!(cut.starts_with("ää"));
        // Too small to say so: still cut, still whole characters.
        assert_eq!(within("ääää", 5), "ää");
        assert_eq!(within("🌊🌊", 3), "");
    }

    #[test]
    fn code_leaves_no_way_out_of_the_code() {
        assert_eq!(code("a`b\n# head"), "`a'b # head`");
        assert_eq!(code(""), "(empty)");
        assert_eq!(code("\u{7}"), "(empty)");
    }
}
