//! The plot: cold to accepted of the integrator and its peers, as an SVG image.

use std::fmt::Write;

use crate::measure::Cold;
use crate::results::{LATENCY_MS, Of, Results};
use crate::stats::ms;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 90.0;
const BAR: f64 = 16.0;
const GAP: f64 = 4.0;

/// Bars on a logarithmic axis, in one group for each condition.
pub(crate) fn cold_to_accepted(results: &Results) -> String {
    let mut groups: Vec<(String, &[Of<Cold>])> = vec![
        ("0 ms a call".to_owned(), &results.cold),
        (format!("{LATENCY_MS} ms a call"), &results.distant),
    ];
    for (memory, list) in &results.throttled {
        groups.push((
            format!("{LATENCY_MS} ms a call, processor share of {memory} MB"),
            list,
        ));
    }
    let shown = |of: &&Of<Cold>| crate::programs::peers().contains(&of.program.as_str());
    let longest = groups
        .iter()
        .flat_map(|(_, list)| list.iter().filter(shown))
        .map(|of| ms(of.value.whole))
        .fold(10.0, f64::max);
    let decades = longest.log10().ceil();
    let scale = (WIDTH - LEFT - RIGHT) / decades;
    let at = |value: f64| LEFT + value.max(1.0).log10() * scale;

    let mut body = String::new();
    let mut y = 34.0;
    for (title, list) in &groups {
        let _ = writeln!(
            body,
            r#"<text x="8" y="{:.0}" class="title">{title}</text>"#,
            y + 12.0
        );
        y += BAR + GAP;
        for of in list.iter().filter(shown) {
            let value = ms(of.value.whole);
            let class = if of.program == crate::scenarios::INTEGRATOR {
                "own"
            } else {
                "peer"
            };
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{:.0}" class="name">{}</text><rect x="{LEFT}" y="{y:.0}" width="{:.1}" height="{BAR}" class="{class}"/><text x="{:.0}" y="{:.0}">{}</text>"#,
                LEFT - 8.0,
                y + 12.0,
                of.program,
                at(value) - LEFT,
                at(value) + 6.0,
                y + 12.0,
                crate::report::number(value),
            );
            y += BAR + GAP;
        }
        y += 10.0;
    }
    let mut axis = String::new();
    for decade in 0..=decades as i32 {
        let x = at(10_f64.powi(decade));
        let _ = writeln!(
            axis,
            r#"<line x1="{x:.0}" x2="{x:.0}" y1="26" y2="{y:.0}" class="line"/><text x="{x:.0}" y="20" class="tick">{} ms</text>"#,
            crate::report::number(10_f64.powi(decade)),
        );
    }
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" font-family="sans-serif" font-size="12" role="img" aria-label="Cold start until AttachVolume is accepted, milliseconds, logarithmic">
<style>rect.own{{fill:#b7410e}}rect.peer{{fill:#8a9ba8}}.line{{stroke:#d5d9dc}}.tick{{text-anchor:middle;fill:#555}}.name{{text-anchor:end}}.title{{font-weight:bold}}</style>
<rect width="100%" height="100%" fill="#fff"/>
{axis}{body}</svg>
"##
    )
}
