//! `cargo bench-lambda`: runs the release binaries under a Lambda Runtime API against a fake AWS, in
//! turns with their peers, and says how long they take, what they call and how large they are.

mod aws;
mod calls;
mod certificates;
mod gate;
mod machine;
mod measure;
mod plot;
mod process;
mod programs;
mod report;
mod results;
mod scenarios;
mod sizes;
mod stats;
mod table;
mod targets;
mod throttle;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use measure::{Bench, Conditions};
use process::Program;
use programs::{Profile, Programs};
use results::{LATENCY_MS, Of, Results, ScenarioCalls};
use scenarios::{ATTACH, INTEGRATOR, Scenario};
use throttle::Throttle;
use trouble::{Result, Trouble};

const HELP: &str = "\
cargo bench-lambda [OPTION…]

Builds the functions as they are deployed, and their peers; measures; prints tables.

  --write             also writes docs/performance.md and docs/performance.svg
  --quick             few rounds, and no look at what the functions consist of
  --dev               the functions as the tests build them, without the peer that needs a build of
                      its own of the SDK: to see whether the benchmark works; nothing is judged
  --gate              the integrators and Python only, and of them what hardly differs from run to
                      run: calls, memory, size; fails where something has grown
  --beside PATH       also measures this program, another build of restore-integrator
  --attaching MS      how long EC2 takes to attach a volume, in milliseconds; where nothing is said,
                      another time from 1,000 to 4,000 in each round
  --throttle signals  throttles by signals even where control groups are permitted
  --help              this text
";

/// What was asked for on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    write: bool,
    quick: bool,
    gate: bool,
    profile: Profile,
    signals: bool,
    attaching: Option<Duration>,
    beside: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match options(&arguments).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("{trouble}");
            ExitCode::from(2)
        }
    }
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        write: false,
        quick: false,
        gate: false,
        profile: Profile::Release,
        signals: false,
        attaching: None,
        beside: Vec::new(),
    };
    let arguments_given = arguments.len();
    let mut arguments = arguments.iter().map(String::as_str);
    while let Some(argument) = arguments.next() {
        match argument {
            "--write" => options.write = true,
            "--quick" => options.quick = true,
            "--gate" => options.gate = true,
            "--dev" => options.profile = Profile::Dev,
            "--beside" => {
                let path = arguments.next().ok_or_else(|| {
                    Trouble::new("--beside without a path", "Name a program behind it.")
                })?;
                options.beside.push(path.into());
            }
            "--attaching" => {
                let time = arguments.next().and_then(|time| time.parse().ok());
                let time = time.ok_or_else(|| {
                    Trouble::new(
                        "--attaching without a number",
                        "Give the time in milliseconds, such as --attaching 2000.",
                    )
                })?;
                options.attaching = Some(Duration::from_millis(time));
            }
            "--throttle" if arguments.next() == Some("signals") => options.signals = true,
            other => {
                return Err(Trouble::new(format!("{other} is no option"), HELP));
            }
        }
    }
    if options.gate && arguments_given > 1 {
        return Err(Trouble::new(
            "--gate measures what it measures, and nothing else",
            "Leave out the other options, or --gate.",
        ));
    }
    if options.write && options.profile == Profile::Dev {
        return Err(Trouble::new(
            "numbers of test builds are not for docs/performance.md",
            "Leave out --dev or --write.",
        ));
    }
    Ok(options)
}

/// How often things are done.
struct Rounds {
    cold: usize,
    distant: usize,
    throttled: usize,
    warm: usize,
}

fn run(options: &Options) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned();
    eprintln!("Building. The first time, release builds of the SDK take about half an hour.");
    let folder = Folder::make()?;
    let aws = aws::Aws::start(certificates::make(&folder.0)?)?;
    let bench = |throttle| Bench {
        aws: &aws,
        root: &root,
        folder: &folder.0,
        throttle,
    };
    if options.gate {
        return gate::run(&bench(&Throttle::Signals));
    }
    let programs = Programs::build(&root, options.profile)?;
    let throttle = if options.signals {
        Throttle::Signals
    } else {
        Throttle::available()
    };
    let bench = bench(&throttle);
    let rounds = if options.quick {
        Rounds {
            cold: 2,
            distant: 1,
            throttled: 1,
            warm: 5,
        }
    } else {
        Rounds {
            cold: 21,
            distant: 9,
            throttled: 5,
            warm: 100,
        }
    };
    let measured = measure(&bench, &programs, options, &rounds);
    if let Throttle::ControlGroup(group) = &throttle {
        group.remove();
    }
    let mut results = measured?;
    if !options.quick && options.profile == Profile::Release {
        eprintln!("Linking with symbols, to see what the functions consist of.");
        for function in &programs.functions {
            let program = programs::with_symbols(&root, &function.name)?;
            results.compositions.push(Of {
                program: function.name.clone(),
                value: sizes::composition(&program)?,
            });
        }
    }
    let mut sections = report::sections(&results);
    if !options.quick {
        eprintln!("Scale, in virtual time.");
        sections.push(report::Section {
            title: "Scale",
            body: programs::scale(&root)?,
        });
    }
    if options.profile == Profile::Dev {
        sections.retain(|section| section.title != "Targets");
    }
    let document = report::document(&sections);
    println!("{document}");
    if options.write {
        write(&root.join("docs/performance.md"), &document)?;
        write(
            &root.join("docs/performance.svg"),
            &plot::cold_to_accepted(&results),
        )?;
    }
    Ok(())
}

fn measure(
    bench: &Bench<'_>,
    programs: &Programs,
    options: &Options,
    rounds: &Rounds,
) -> Result<Results> {
    let scenarios = scenarios::all();
    let first_of = |function: &str| {
        scenarios
            .iter()
            .find(|scenario| scenario.function == function)
            .ok_or_else(|| {
                Trouble::new(
                    format!("{function} has no scenario"),
                    "Add one in bench/src/scenarios.rs.",
                )
            })
    };
    let attach = first_of(INTEGRATOR)?;
    debug_assert_eq!(attach.name, ATTACH);
    let integrator = programs.integrator();
    let others: Vec<Program> = options
        .beside
        .iter()
        .map(|path| Program {
            name: path.display().to_string(),
            command: vec![path.clone()],
            settings: integrator.settings.clone(),
        })
        .collect();
    let mut peers: Vec<(&Program, &Scenario)> = vec![
        (&programs.floor, attach),
        (&programs.floor_defaults, attach),
        (integrator, attach),
    ];
    peers.extend(others.iter().map(|other| (other, attach)));
    peers.extend(programs.naive.as_ref().map(|naive| (naive, attach)));
    peers.push((&programs.python, attach));
    let mut everything = peers.clone();
    for function in &programs.functions[1..] {
        everything.push((function, first_of(&function.name)?));
    }
    // What calls nothing is the same at any distance.
    let callers = &peers[2..];
    let named = |list: &[(&Program, &Scenario)], values: Vec<measure::Cold>| {
        let programs = list.iter().map(|(program, _)| program.name.clone());
        programs
            .zip(values)
            .map(|(program, value)| Of { program, value })
            .collect::<Vec<_>>()
    };

    let mut results = Results {
        facts: machine::facts(bench.root, &programs.python),
        throttle: bench.throttle.to_string(),
        rounds: format!(
            "Rounds: {} cold, {} with {LATENCY_MS} ms a call, {} throttled; {} warm events",
            rounds.cold, rounds.distant, rounds.throttled, rounds.warm
        ),
        ..Results::default()
    };
    eprintln!("Calls of each scenario.");
    let function = |name: &str| {
        programs
            .functions
            .iter()
            .find(|function| function.name == name)
            .unwrap_or(integrator)
    };
    for scenario in &scenarios {
        let before = scenario.before.map(|(name, event)| (function(name), event));
        results.calls.push(ScenarioCalls {
            function: scenario.function,
            scenario: scenario.name,
            calls: bench.calls(function(scenario.function), before, scenario)?,
        });
    }
    eprintln!("Cold, 0 ms a call.");
    let conditions = Conditions {
        latency: Duration::ZERO,
        memory_mb: None,
        attaching: options.attaching,
    };
    results.cold = named(
        &everything,
        bench.cold(&everything, conditions, rounds.cold)?,
    );
    eprintln!("Cold, {LATENCY_MS} ms a call.");
    let conditions = Conditions {
        latency: Duration::from_millis(LATENCY_MS),
        ..conditions
    };
    results.distant = named(callers, bench.cold(callers, conditions, rounds.distant)?);
    for memory in [128, 256] {
        eprintln!("Cold, {LATENCY_MS} ms a call, processor share of {memory} MB.");
        let conditions = Conditions {
            memory_mb: Some(memory),
            ..conditions
        };
        let list = named(&peers, bench.cold(&peers, conditions, rounds.throttled)?);
        results.throttled.push((memory, list));
    }
    eprintln!("Warm.");
    for (program, scenario) in &peers {
        results.warm.push(Of {
            program: program.name.clone(),
            value: bench.warm(program, scenario, rounds.warm)?,
        });
    }
    for (program, _) in &everything {
        if let [binary] = program.command.as_slice() {
            results.zips.push(Of {
                program: program.name.clone(),
                value: sizes::zip(binary)?,
            });
        }
    }
    Ok(results)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Trouble::because(
        format!("{} could not be written", path.display()),
        "Run it in a clone of the repository that can be written.",
    ))
}

/// A folder for what one run needs. Goes with this value.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("bench-lambda-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(Trouble::because(
            format!("{} could not be made", path.display()),
            "Make room for temporary files, or set TMPDIR to a folder that can be written.",
        ))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
