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

/// Whether `source`, the text of `path`, defines a function, a type or a resource of this name.
fn defines(path: &str, source: &str, name: &str) -> bool {
    if path.ends_with(".yaml") {
        return code_of(path, source, name).is_some();
    }
    ["fn", "struct", "enum", "trait", "const"]
        .iter()
        .any(|kind| position(source, &format!("{kind} {name}")).is_some())
}

/// Where `words` stand in `source`, not as a part of a longer word.
fn position(source: &str, words: &str) -> Option<usize> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices(words).map(|(at, _)| at).find(|at| {
        let before = source[..*at].chars().next_back();
        let after = source[at + words.len()..].chars().next();
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    })
}

/// Whether the code calls a function or a method of this name.
fn calls(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}(")).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The code of the function, or the block of the template's resource, without comments.
fn code_of(path: &str, source: &str, name: &str) -> Option<String> {
    let is_yaml = path.ends_with(".yaml");
    let comment = if is_yaml { "#" } else { "//" };
    let mut lines = source
        .lines()
        .filter(|line| !line.trim_start().starts_with(comment));
    let first = lines.find(|line| match is_yaml {
        true => line.trim() == format!("{name}:"),
        false => position(line, &format!("fn {name}")).is_some(),
    })?;
    let indent = first.len() - first.trim_start().len();
    // A resource ends at the next line that is not indented more, a function at its closing brace, which
    // rustfmt indents like its first line.
    let is_inside = |line: &&str| match is_yaml {
        true => line.trim().is_empty() || line.len() - line.trim_start().len() > indent,
        false => *line != format!("{}}}", " ".repeat(indent)),
    };
    Some(lines.take_while(is_inside).collect::<Vec<_>>().join("\n"))
}

/// The most files that a reader opens for one event.
const MOST_FILES: usize = 8;

/// The steps of the numbered list at the beginning of `section`: for each number, its functions and
/// resources as path and name.
fn steps(section: &str) -> Vec<Vec<(&str, &str)>> {
    let number = |line: &str| {
        line.split_once(". ")
            .is_some_and(|(n, _)| n.parse::<u8>().is_ok())
    };
    section
        .lines()
        .skip_while(|line| !number(line))
        .take_while(|line| number(line))
        .map(|line| {
            let names = quoted(line).into_iter().filter(|quoted| is_path(quoted));
            names.filter_map(|name| name.split_once("::")).collect()
        })
        .collect()
}

/// What is wrong with the order of the steps: each names the functions of one file, no file comes twice,
/// and each function calls the next one.
fn wrong_order(section: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let steps = steps(section);
    if !(2..=MOST_FILES).contains(&steps.len()) {
        wrong.push(format!("{} steps, at most {MOST_FILES} files", steps.len()));
    }
    let mut files = BTreeSet::new();
    for (index, step) in steps.iter().enumerate() {
        let in_step: BTreeSet<&str> = step.iter().map(|(path, _)| *path).collect();
        if in_step.len() != 1 {
            wrong.push(format!("step {} names {} files", index + 1, in_step.len()));
        }
        wrong.extend(
            in_step
                .into_iter()
                .filter(|path| !files.insert(*path))
                .map(|path| format!("{path} comes twice")),
        );
    }
    let path: Vec<(&str, &str)> = steps.concat();
    for pair in path.windows(2) {
        let [(file, name), (next_file, next)] = [pair[0], pair[1]];
        let Some(code) = code_of(file, &text(file), name) else {
            wrong.push(format!("{file} defines no {name}"));
            continue;
        };
        // A function of the template names the package whose program it runs.
        let package = next_file
            .strip_prefix("functions/")
            .and_then(|rest| rest.strip_suffix("/src/main.rs"));
        let is_called = if file.ends_with(".yaml") {
            position(&code, package.unwrap_or(next)).is_some()
        } else {
            calls(&code, next)
        };
        if !is_called {
            wrong.push(format!("{file}::{name} does not call {next_file}::{next}"));
        }
    }
    let last = path
        .last()
        .and_then(|(file, name)| code_of(file, &text(file), name));
    if !last.is_some_and(|code| calls(&code, "attach_volume")) {
        wrong.push("the last step does not call AttachVolume".to_owned());
    }
    wrong
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
            && !defines(path, &crate::support::repository::text(path), name)
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
fn follows_one_event_through_at_most_eight_files() {
    let wrong = wrong_order(&section());
    assert!(wrong.is_empty(), "ARCHITECTURE.md, {SECTION}: {wrong:#?}");
}

#[test]
fn finds_a_wrong_order_in_the_walkthrough() {
    let section = section();
    let lines: Vec<&str> = section.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with("1. "))
        .expect("a list");
    let after = lines[first..].iter().position(|line| line.is_empty());
    let list = &lines[first..first + after.expect("an end")];
    assert!(list.len() >= 5, "{list:#?}");
    let check = |list: &[&str], what: &str| {
        let wrong = wrong_order(&list.join("\n")).join("\n");
        assert!(wrong.contains(what), "{what}: {wrong}");
    };
    for swapped in 0..list.len() - 1 {
        let mut list = list.to_vec();
        list.swap(swapped, swapped + 1);
        check(&list, "does not call");
    }
    for skipped in 1..list.len() {
        let mut list = list.to_vec();
        list.remove(skipped);
        check(&list, "does not call");
    }
    check(&[list, &list[..1]].concat(), "template.yaml comes twice");
    check(&[list, list].concat(), "at most 8 files");
    check(&["1. `template.yaml::Gone`", list[1]], "defines no Gone");
    check(
        &[&format!("{} {}", list[0], list[1])],
        "step 1 names 2 files",
    );
    check(&[], "0 steps");
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
        ("database-integrator", database_integrator::Settings::NAMES),
        (
            "file-system-integrator",
            file_system_integrator::Settings::NAMES,
        ),
        ("table-integrator", table_integrator::Settings::NAMES),
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
