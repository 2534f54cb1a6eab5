//! `docs/refusals.md` lists every reason for a refusal in the code, and no other.

use std::collections::BTreeSet;

use recovery_core::plan::resource_type::{RULES, Support};
use regex_lite::Regex;

use crate::support::repository::{files_ending, text};

/// A reason, as a string literal.
const REASON: &str = r#""([a-z]+(?:-[a-z]+)*)""#;

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn captured(pattern: &str, source: &str) -> Vec<String> {
    regex(pattern)
        .captures_iter(source)
        .map(|found| found[1].to_owned())
        .collect()
}

/// The bodies of the methods `reason` in a source file.
fn reason_functions(source: &str) -> impl Iterator<Item = &str> {
    source
        .split("fn reason(&self) -> &'static str {\n")
        .skip(1)
        .map(|rest| rest.split("\n    }\n").next().unwrap_or(rest))
}

/// The reasons for refusals that a source file contains.
fn reasons(source: &str) -> BTreeSet<String> {
    // Tests follow the code of a file.
    let source = source.split("#[cfg(test)]").next().unwrap_or(source);
    let mut found = BTreeSet::new();
    for body in reason_functions(source) {
        found.extend(captured(REASON, body));
        for name in captured(r"=>\s*\w+::([A-Z_]+)\b", body) {
            let value = captured(&format!("const {name}: &str = {REASON}"), source);
            assert!(!value.is_empty(), "{name} is not a constant of its file");
            found.extend(value);
        }
    }
    // Refusals whose reason, text and remedy are one tuple, or whose answer is written in place.
    found.extend(captured(
        &format!(r"Refusal::\w+[^=]*=>\s*\(\s*{REASON}"),
        source,
    ));
    found.extend(captured(&format!(r"Outcome::refused\({REASON}"), source));
    found
}

/// The reasons in the table of a document.
fn documented(document: &str) -> Vec<String> {
    let table = document
        .split_once("\n## Reasons\n")
        .map(|(_, table)| table)
        .expect("docs/refusals.md has a section \"Reasons\"");
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect()
}

#[test]
fn the_table_of_refusals_lists_the_reasons_in_the_code() {
    let in_code: BTreeSet<String> = files_ending(&[".rs"])
        .into_iter()
        .filter(|file| file.starts_with("crates/recovery-core/src/"))
        .flat_map(|file| reasons(&text(&file)))
        .collect();
    assert!(in_code.len() >= 40, "only {} reasons", in_code.len());
    let rows = documented(&text("docs/refusals.md"));
    let listed: BTreeSet<String> = rows.iter().cloned().collect();
    let missing: Vec<_> = in_code.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&in_code).collect();
    assert!(missing.is_empty(), "not in docs/refusals.md: {missing:?}");
    assert!(unknown.is_empty(), "not in the code: {unknown:?}");
    let sorted: Vec<String> = listed.into_iter().collect();
    assert_eq!(rows, sorted, "one row for each reason, in this order");
}

#[test]
fn the_table_of_other_types_has_the_instructions_in_the_code() {
    let document = text("docs/recover.md");
    let (_, section) = document
        .split_once("\n## Other types\n")
        .expect("docs/recover.md has a section \"Other types\"");
    let section = section.split("\n## ").next().unwrap_or(section);
    let listed: Vec<&str> = section
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .skip(1)
        .collect();
    let in_code: Vec<String> = RULES
        .iter()
        .filter_map(|rules| match rules.support {
            Support::ByHand(by_hand) => Some(format!("| {} | {} |", rules.name, by_hand.remedy)),
            Support::Restored(_) => None,
        })
        .collect();
    assert_eq!(listed, in_code);
}

#[test]
fn a_reason_is_found_in_each_form() {
    let source = r#"
    const ELSEWHERE: &str = "elsewhere";

    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::A { .. } | Refusal::B => "zone-mismatch",
            Refusal::C => Refusal::ELSEWHERE,
            Refusal::D(refusal) => refusal.reason(),
        }
    }

    fn reason(&self) -> &'static str {
        "not-here"
    }

    fn remedy(&self) -> &'static str {
        match self {
            Refusal::A { .. } => "wait",
        }
    }

    match refusal {
        DrillRefusal::NotADrill => (
            "not-a-drill",
            "the job",
        ),
    }
    Outcome::refused("drill")

#[cfg(test)]
    Outcome::refused("invented")
"#;
    let expected = [
        "drill",
        "elsewhere",
        "not-a-drill",
        "not-here",
        "zone-mismatch",
    ];
    assert_eq!(
        reasons(source).into_iter().collect::<Vec<_>>(),
        expected.map(str::to_owned)
    );
}

#[test]
fn only_the_table_of_reasons_is_read() {
    let document = "| `by` | `a` |\n\n## Reasons\n\n| reason | by |\n|---|---|\n| `one` | plan |\n| `two-words` | `start` |\n";
    assert_eq!(documented(document), ["one", "two-words"]);
}
