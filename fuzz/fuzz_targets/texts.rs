//! A displayed text satisfies its limit, is truncated at a character, shows every character, and cannot
//! escape its code span or quotation.
#![no_main]

use fuzz::assert_visible;
use libfuzzer_sys::fuzz_target;
use recovery_core::notification::{Notification, TEXT_MESSAGE_LIMIT};
use recovery_core::text;

fuzz_target!(|input: (u16, &str)| {
    let (limit, given) = (usize::from(input.0 % 600), input.1);

    let cut = text::within(given, limit);
    assert!(cut.len() <= limit);
    let kept = cut.strip_suffix(" … (cut)").unwrap_or(&cut);
    assert!(given.starts_with(kept) || given == cut);
    assert!(given.len() > limit || cut == given);

    let line = text::one_line(given);
    assert_visible(&line);
    assert_eq!(text::one_line(&line), line);
    assert_eq!(line.chars().count(), given.chars().count());
    let shown = text::shown(given);
    assert_visible(&shown);
    assert!(!shown.is_empty() && shown.len() <= 200);

    let lines = text::lines(given);
    assert_eq!(lines.matches('\n').count(), given.matches('\n').count());
    lines.split('\n').for_each(assert_visible);

    let code = text::code(given);
    assert_visible(&code);
    assert!(code.len() <= 302);
    let inner = code
        .strip_prefix('`')
        .and_then(|code| code.strip_suffix('`'));
    match inner {
        Some(inner) => assert!(!inner.contains('`') && !inner.trim().is_empty()),
        None => assert_eq!(code, "(empty)"),
    }

    for line in text::quotation(given).lines() {
        assert!(line.starts_with('>'), "{line:?}");
        assert_visible(line);
    }
    let quotation = text::markdown_quotation(given);
    let is_quoted = |line: &str| {
        let code = line
            .strip_prefix("> `")
            .and_then(|line| line.strip_suffix('`'));
        line == ">" || code.is_some_and(|code| !code.is_empty() && !code.contains('`'))
    };
    for line in quotation.lines() {
        assert!(is_quoted(line), "{line:?}");
    }

    // Markdown that contains the text, truncated anywhere.
    let markdown = format!("- A: {code}\n- B: {code}\n\n{quotation}");
    let cut = text::markdown_within(&markdown, limit);
    assert!(cut.len() <= limit);
    for line in cut.lines() {
        let parts: Vec<&str> = line.split('`').collect();
        assert!(
            limit < 12 || parts.len() % 2 == 1,
            "code does not end: {line:?}"
        );
        for outside in parts.iter().step_by(2) {
            assert!(
                [
                    " … (cut)",
                    "- A: ",
                    "- B: ",
                    "(empty)",
                    "> ",
                    ">",
                    "-",
                    "A",
                    "B",
                    ":",
                    " "
                ]
                .iter()
                .fold((*outside).to_owned(), |rest, part| rest.replace(part, ""))
                .chars()
                .all(|c| "(empty)".contains(c)),
                "outside code: {line:?}"
            );
        }
    }

    let told = Notification {
        subject: given.to_owned(),
        pointer: given.to_owned(),
        message: given.to_owned(),
        attributes: Vec::new(),
    };
    let subject = told.limited_subject();
    assert!(subject.len() < 100 && subject.trim() == subject);
    assert!(
        subject.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
        "{subject:?}"
    );
    assert!(told.limited_message().len() <= 250_000);
    let phone = told.text_message();
    assert!(
        phone.len() <= TEXT_MESSAGE_LIMIT && phone.is_ascii(),
        "{phone:?}"
    );
});
