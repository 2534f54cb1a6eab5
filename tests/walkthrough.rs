//! Checks the documents against the code: the walkthrough of one event, the paths they name, the table
//! of settings.

use std::collections::BTreeSet;

use crate::support::repository::{documents, root, text};

/// The section of ARCHITECTURE.md that follows one event.
const SECTION: &str = "## One event, step by step";

/// The texts in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Whether a text in backticks is a path of this repository: it has a slash or a known extension, and
/// only characters of a path.
fn is_path(text: &str) -> bool {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "./-_:".contains(c));
    let file = text.split("::").next().unwrap_or(text);
    let known_ending = [".rs", ".yaml", ".json", ".toml", ".md"]
        .iter()
        .any(|ending| file.ends_with(ending));
    plain && (known_ending || file.contains('/')) && !file.starts_with('/')
}

/// Whether `source` defines a function or a type of this name.
fn defines(source: &str, name: &str) -> bool {
    ["fn", "struct", "enum", "trait", "const"]
        .iter()
        .any(|kind| {
            let definition = format!("{kind} {name}");
            source.match_indices(&definition).any(|(at, _)| {
                let next = source[at + definition.len()..].chars().next();
                next.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            })
        })
}

/// The problems of the paths in `text`, and how many paths were checked.
fn wrong_paths(text: &str) -> (Vec<String>, usize) {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for quoted in quoted(text).into_iter().filter(|quoted| is_path(quoted)) {
        checked += 1;
        let (path, name) = match quoted.split_once("::") {
            Some((path, name)) => (path, Some(name)),
            None => (quoted, None),
        };
        if !root().join(path).exists() {
            wrong.push(format!("{path} does not exist"));
        } else if let Some(name) = name
            && !defines(&crate::support::repository::text(path), name)
        {
            wrong.push(format!("{path} defines no {name}"));
        }
    }
    (wrong, checked)
}

/// The section of ARCHITECTURE.md that follows one event.
fn section() -> String {
    let architecture = text("ARCHITECTURE.md");
    let section = architecture
        .split_once(SECTION)
        .unwrap_or_else(|| panic!("ARCHITECTURE.md has no section \"{SECTION}\""))
        .1;
    section.split("\n## ").next().unwrap_or(section).to_owned()
}

#[test]
fn paths_in_the_walkthrough_exist() {
    let (wrong, checked) = wrong_paths(&section());
    assert!(wrong.is_empty(), "ARCHITECTURE.md, {SECTION}: {wrong:#?}");
    assert!(checked >= 15, "only {checked} paths");
}

#[test]
fn finds_wrong_paths_in_the_walkthrough() {
    let check = |text: &str| {
        let (wrong, checked) = wrong_paths(text);
        assert_eq!((wrong.len(), checked), (1, 1), "{text}: {wrong:?}");
    };
    check("see `crates/recovery-core/src/gone.rs`");
    check("see `functions/restore-integrator/src/lib.rs::handl`");
    check("see `functions/restore-integrator/src/lib.rs::handler`");
    assert_eq!(
        wrong_paths("`{\"a\": 1}`, `detail.status`, `Retryable`, `/aws/dedup`").1,
        0
    );
}

#[test]
fn paths_named_in_documents_exist() {
    // Paths that begin with a folder of the repository: from the root, or from the document.
    let folders = [
        "crates/",
        "functions/",
        "events/",
        "tests/",
        "docs/",
        "local-region/",
    ];
    for document in documents() {
        let text = text(&document);
        let beside = root().join(&document);
        let beside = beside.parent().expect("a document lies in a folder");
        for path in quoted(&text) {
            let from_root = folders.iter().any(|folder| path.starts_with(folder));
            if from_root && is_path(path) {
                let path = path.split("::").next().unwrap_or(path);
                assert!(
                    root().join(path).exists() || beside.join(path).exists(),
                    "{document}: {path} does not exist"
                );
            }
        }
    }
}

#[test]
fn settings_table_matches_the_functions() {
    let documented: BTreeSet<(String, String)> = text("docs/settings.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(|row| {
            let mut cells = row.split(" | ");
            let name = cells
                .next()
                .unwrap_or_default()
                .trim_end_matches('`')
                .to_owned();
            let functions = cells.next().unwrap_or_default().to_owned();
            functions
                .split(", ")
                .map(|function| (name.clone(), function.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect();
    let read: BTreeSet<(String, String)> = [
        ("restore-integrator", restore_integrator::Settings::NAMES),
        ("restore-reconciler", restore_reconciler::Settings::NAMES),
        ("recovery-planner", recovery_planner::Settings::NAMES),
        ("recovery-reporter", recovery_reporter::Settings::NAMES),
        ("restore-starter", restore_starter::Settings::NAMES),
        ("routing-shifter", routing_shifter::Settings::NAMES),
        (
            "region-switch-action",
            region_switch_action::Settings::NAMES,
        ),
        ("opsitem-creator", opsitem_creator::Settings::NAMES),
        (
            "restore-test-validator",
            restore_test_validator::Settings::NAMES,
        ),
        (
            "health-event-responder",
            health_event_responder::Settings::NAMES,
        ),
        ("alarm-responder", alarm_responder::Settings::NAMES),
    ]
    .into_iter()
    .flat_map(|(function, names)| {
        names
            .iter()
            .map(move |name| ((*name).to_owned(), function.to_owned()))
    })
    .collect();
    assert_eq!(documented, read);
}

#[test]
fn event_files_are_listed_in_events_readme() {
    let readme = text("events/README.md");
    for name in crate::support::repository::events().keys() {
        let rows = readme.matches(&format!("| `{name}.json` |")).count();
        assert_eq!(rows, 1, "{name}.json has {rows} rows in events/README.md");
    }
    let rows = readme
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains(".json` |"));
    assert_eq!(rows.count(), crate::support::repository::events().len());
}
