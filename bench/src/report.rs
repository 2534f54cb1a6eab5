//! What was measured, in words and tables: the same on the terminal and in `docs/performance.md`.

use std::time::Duration;

use crate::calls::{longest_chain, place, sequence};
use crate::measure::{Cold, OVERLAP};
use crate::programs::{FLOOR, FUNCTIONS, NAIVE, PYTHON};
use crate::results::{LATENCY_MS, Of, Results, of};
use crate::scenarios::{INTEGRATOR, TABLE_INTEGRATOR};
use crate::sizes::Part;
use crate::stats::ms;
use crate::table::Table;
use crate::targets::{compare, judge};

/// A part of the document under a heading of its own.
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// Markdown.
    pub(crate) body: String,
}

/// The whole document.
pub(crate) fn document(sections: &[Section]) -> String {
    let mut text = "# Performance\n\nWritten by `cargo bench-lambda --write`: change the benchmark, not this file.\n".to_owned();
    for Section { title, body } in sections {
        text += &format!("\n## {title}\n\n{}\n", body.trim_end());
    }
    text
}

/// The sections about one function, one event, one process.
pub(crate) fn sections(results: &Results) -> Vec<Section> {
    let mut sections = vec![
        section("Measured", measured(results)),
        section("Targets", targets(results)),
        section("Cold", cold(results)),
        section("Warm", warm(results)),
        section("Each function", functions(results)),
        section("Calls", calls(results)),
    ];
    if !results.compositions.is_empty() {
        sections.push(section(
            "What the archives consist of",
            compositions(results),
        ));
    }
    sections.push(section("How", how(results)));
    sections
}

fn section(title: &'static str, body: String) -> Section {
    Section { title, body }
}

/// A number for people: three or more digits have no decimals.
pub(crate) fn number(value: f64) -> String {
    if value < 99.95 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds, where there are any.
fn some(time: Option<Duration>) -> String {
    time.map_or("–".to_owned(), |time| number(ms(time)))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn kilobytes(bytes: u64) -> String {
    number((bytes as f64 / 1e3).round())
}

fn measured(results: &Results) -> String {
    let mut text = String::new();
    for (name, value) in &results.facts {
        text += &format!("- {name}: {value}\n");
    }
    text += &format!("- {}\n", results.rounds);
    text += "\nOne machine, loopback, medians: **read the ratios**, which is what the targets are judged on. Not measured: a real network, the making of a sandbox, arm64.\n";
    text
}

fn targets(results: &Results) -> String {
    let mut table = Table::new(1, &["", "target", "measured", ""]);
    for target in judge(results) {
        let verdict = if target.holds { "holds" } else { "**missed**" };
        table.row([
            target.what,
            target.limit,
            target.measured,
            verdict.to_owned(),
        ]);
    }
    table.markdown()
}

fn ratios(list: &[Of<Cold>], program: &str) -> [String; 3] {
    [FLOOR, NAIVE, PYTHON].map(|peer| {
        compare(list, program, peer, |cold| cold.whole)
            .map_or("–".to_owned(), |ratio| format!("{ratio:.3}"))
    })
}

fn cold_table(list: &[Of<Cold>]) -> String {
    let headings = [
        "",
        "start, ms",
        "accepted, ms",
        "confirmed, ms",
        "done, ms",
        "cold to accepted, ms",
        "processor, ms",
        "peak, MB",
        "× floor",
        "× defaults",
        "× Python",
    ];
    let mut table = Table::new(1, &headings);
    for Of { program, value } in list {
        let function = FUNCTIONS.iter().any(|(name, _)| name == program);
        if function && program != INTEGRATOR {
            continue;
        }
        let [floor, naive, python] = ratios(list, program);
        table.row([
            program.clone(),
            number(ms(value.init)),
            some(value.accepted),
            some(value.confirmed),
            number(ms(value.first)),
            number(ms(value.whole)),
            number(ms(value.cpu)),
            megabytes(value.peak),
            floor,
            naive,
            python,
        ]);
    }
    table.markdown()
}

fn cold(results: &Results) -> String {
    let mut text = format!(
        "A new process, the event *EBS restore completed*, the volume attached and an OpsItem written. EC2 answers `attaching`, and takes 1 to 4 s: another time in each round, the same for all programs. *accepted*: from the event until EC2 has accepted `AttachVolume`. *confirmed*: until an answer of EC2 has said that the volume is attached, and *done*: until the function has answered, both less the time that EC2 took; what is left is mostly the pause between two checks. *cold to accepted*: from the start of the process; the ratios are of that. The floor takes the event and calls nothing. The peers make their calls one after the other and check the volume each second; for {INTEGRATOR} see [Calls](#calls).\n\n![Cold to accepted](performance.svg)\n\n"
    );
    text += &format!(
        "Nothing added to a call:\n\n{}\n",
        cold_table(&results.cold)
    );
    text += &format!(
        "{LATENCY_MS} ms added to each call:\n\n{}\n",
        cold_table(&results.distant)
    );
    for (memory, list) in &results.throttled {
        text += &format!(
            "{LATENCY_MS} ms added to each call, and the processor share that Lambda gives at {memory} MB, from the start of the process (by {}):\n\n{}\n",
            results.throttle,
            cold_table(list)
        );
    }
    text
}

fn warm(results: &Results) -> String {
    let mut table = Table::new(1, &["", "p50, ms", "p99, ms", "done, p50, ms", "peak, MB"]);
    for Of { program, value } in &results.warm {
        table.row([
            program.clone(),
            number(ms(value.p50)),
            number(ms(value.p99)),
            number(ms(value.done)),
            megabytes(value.peak),
        ]);
    }
    format!(
        "The same event again and again in one process, each time in a new world; nothing added to a call. From the event until EC2 has accepted `AttachVolume`; *done*: until the answer, less the second that EC2 took.\n\n{}",
        table.markdown()
    )
}

fn functions(results: &Results) -> String {
    let headings = [
        "",
        "start, ms",
        "× floor",
        "first event, ms",
        "processor, ms",
        "peak, MB",
        "connections",
        "zip, kB",
    ];
    let mut table = Table::new(1, &headings);
    let all = results.cold.iter().filter(|of| of.program != PYTHON);
    for Of { program, value } in all {
        let ratio = compare(&results.cold, program, FLOOR, |cold| cold.init);
        table.row([
            program.clone(),
            number(ms(value.init)),
            ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            number(ms(value.first)),
            number(ms(value.cpu)),
            megabytes(value.peak),
            value.connections.to_string(),
            of(&results.zips, program).map_or("–".to_owned(), |bytes| kilobytes(*bytes)),
        ]);
    }
    format!(
        "Cold, nothing added to a call, each with an event that it acts on. {TABLE_INTEGRATOR} pauses for 1 to 5 s before it checks whether DynamoDB has applied a change; these pauses are in its *first event*.\n\n{}",
        table.markdown()
    )
}

fn calls(results: &Results) -> String {
    let mut table = Table::new(2, &["", "", "calls", "longest chain", "AttachVolume"]);
    let mut texts = String::new();
    for calls in &results.calls {
        let place = place(&calls.calls, "AttachVolume");
        table.row([
            calls.function.to_owned(),
            calls.scenario.to_owned(),
            calls.calls.len().to_string(),
            longest_chain(&calls.calls).len().to_string(),
            place.map_or(String::new(), |place| format!("call {place}")),
        ]);
        if !calls.calls.is_empty() {
            texts += &format!(
                "- {}, {}: {}\n",
                calls.function,
                calls.scenario,
                sequence(&calls.calls)
            );
        }
    }
    format!(
        "Calls of one event, and the longest chain: calls of which each began when the one before had ended. {} ms added to each, so that those which do not wait for each other overlap (‖).\n\n{}\n{texts}",
        OVERLAP.as_millis(),
        table.markdown()
    )
}

fn compositions(results: &Results) -> String {
    let mut text = "Each part compressed by itself, in kB; together they compress a little better. Generic code counts for the crate that defines it.\n\n".to_owned();
    for Of { program, value } in &results.compositions {
        text += &format!(
            "### {program}\n\n{}\n",
            parts("section", &value.sections, 8)
        );
        text += &format!("{}\n", parts("code of", &value.crates, 16));
    }
    text
}

fn parts(heading: &str, parts: &[Part], most: usize) -> String {
    let mut table = Table::new(1, &[heading, "kB", "compressed, kB"]);
    for part in parts.iter().take(most) {
        table.row([
            part.name.clone(),
            kilobytes(part.bytes),
            kilobytes(part.zipped),
        ]);
    }
    if let Some(rest) = parts.get(most..).filter(|rest| !rest.is_empty()) {
        table.row([
            format!("{} more", rest.len()),
            kilobytes(rest.iter().map(|part| part.bytes).sum()),
            kilobytes(rest.iter().map(|part| part.zipped).sum()),
        ]);
    }
    table.markdown()
}

fn how(results: &Results) -> String {
    format!(
        "`cargo bench-lambda --write` on Linux with Rust, Python 3.10 or newer and 8 GB of free memory builds everything, measures, and writes this file; `--quick` takes few rounds, `--help` lists the rest. It serves a Lambda Runtime API and a fake AWS on loopback: TLS with a chain of RSA 2048 certificates made at the start, one host for each service, no session resumption, HTTP/1.1, a trust bundle of 140 roots. Programs run one at a time, cold ones in turns.\n\n\
         - *start*: from the start of the process until it asks for its first event. *first event*, *done*: from the event to the answer, less the time that EC2 took to attach. *processor*: user and system time of the process, to the end. *peak*: resident memory (`VmHWM`). MB and kB are powers of ten.\n\
         - *floor*: `lambda_runtime` without the SDK, built as the functions are (trimmed), or with all its defaults. *Rust, all defaults*: the same work with the SDK as `cargo add` gives it, in the default release profile. *Python, boto3*: the same work on a Runtime API loop of its own.\n\
         - Processor share: {}.\n",
        results.throttle
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_numbers_by_magnitude() {
        for (value, text) in [
            (0.04, "0.0"),
            (1.94, "1.9"),
            (10.0, "10"),
            (99.94, "99.9"),
            (99.96, "100"),
            (7177.4, "7,177"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn document_contains_sections_in_order() {
        let sections = [
            section("A", "a\n\n".to_owned()),
            section("B", "b".to_owned()),
        ];
        let text = document(&sections);
        assert!(text.ends_with("\n## A\n\na\n\n## B\n\nb\n"), "{text}");
    }
}
