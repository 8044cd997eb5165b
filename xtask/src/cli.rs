//! The command line.

use lexopt::prelude::*;

use crate::Result;
use crate::steps::{self, Step};

/// The output of `cargo xtask --help`.
pub(crate) const HELP: &str = "\
The tasks of the workspace.

Usage:
    cargo xtask test              run the tests of the embedded default: SQLite and memory, with every layer
    cargo xtask ci [OPTIONS]      run everything that is checked before a change lands, and stop at the first step that fails
    cargo xtask python [OPTIONS]  build the Python package, check its types, and run its tests and the suites of its peers
    cargo xtask list              show the steps of `ci`
    cargo xtask postgres          start a throw-away PostgreSQL, print its URL, and stop it with the end of input
    cargo xtask lines [--check]   show the lines of each crate with its limit; with --check, fail if there are more
    cargo xtask order [OPTIONS]   show which top-level module of the core uses which, in layers, and the circles
    cargo xtask words [OPTIONS]   count the words in each member that the table of docs/glossary.md replaces
    cargo xtask --help            show this

`test` needs a Rust toolchain and a C compiler, and installs no tool. It writes to the folder `target` and to the folder for temporary
files, and cargo fetches crates into its registry.

Options of test and ci:
    --keep-going           run the remaining steps after one has failed

Options of ci:
    --quick                only the inner loop: the steps that `list` marks with a star
    --only STEP[,STEP]     only these steps, in the order of the list; can be given more than once
    --long                 ten times as much of what the step `reliability` does: an hour, not minutes;
                           the step `features` checks each example by itself

Options of python:
    --long                 each suite on each of its backends, as often as it says
    --peer NAME            only the suites of this folder of crates/python/peers, without the tests of the package

Options of order:
    --check                fail if there is a circle, or a use against the order that the modules are to have
    --crate NAME           another member of the workspace

Options of words:
    --crate FOLDER         list each occurrence in this member, or in this folder of the root package

A failure of any step makes the exit code 1; a wrong command line makes it 2. A skipped check is
printed as `SKIPPED: check (reason)`, and again below the closing table. With CI=true there are no colors and no
progress bars. The step `tools` of `ci` installs the tools that are missing.
";

/// One command line, understood.
#[derive(Debug)]
pub(crate) enum Command {
    /// Show [`HELP`].
    Help,
    /// Show the steps.
    List,
    /// Start a PostgreSQL for a developer.
    Postgres,
    /// Show the lines of each crate.
    CountLines {
        /// Fail if a crate has more lines than its limit.
        check: bool,
    },
    /// Show the order of a crate's modules.
    Order {
        /// The member, if not the core.
        member: Option<String>,
        /// Fail if they have no order, or not the one that they are to have.
        check: bool,
    },
    /// Count the words that the glossary replaces.
    Words {
        /// The folder of a member, if not all.
        member: Option<String>,
    },
    /// Check the Python package.
    Python {
        /// Run each suite on each of its backends, as often as it says.
        long: bool,
        /// The peer, if only its suites are to run.
        peer: Option<String>,
    },
    /// Run steps.
    Run(Run),
}

/// Which steps to run, and how.
#[derive(Debug)]
pub(crate) struct Run {
    /// Which steps.
    pub(crate) selection: Selection,
    /// Do more of what can be scaled.
    pub(crate) long: bool,
    /// Go on after a failure.
    pub(crate) keep_going: bool,
}

/// Which steps were asked for.
#[derive(Debug)]
pub(crate) enum Selection {
    /// The tests of the embedded default.
    Embedded,
    /// All steps of `ci`.
    All,
    /// The inner loop.
    Quick,
    /// The named ones.
    Only(Vec<&'static Step>),
}

impl Selection {
    /// The steps, always in the order of the list, whatever the order on the command line.
    pub(crate) fn steps(&self) -> Vec<&'static Step> {
        match self {
            Self::Embedded => steps::EMBEDDED.iter().collect(),
            Self::All => steps::STEPS.iter().collect(),
            Self::Quick => steps::STEPS.iter().filter(|step| step.quick).collect(),
            Self::Only(named) => {
                let is_named = |step: &&Step| named.iter().any(|named| named.name == step.name);
                steps::STEPS.iter().filter(is_named).collect()
            }
        }
    }
}

/// Understands a command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Command> {
    let mut verb = None;
    let (mut quick, mut long, mut keep_going, mut only) = (false, false, false, Vec::new());
    let (mut check, mut member, mut peer) = (false, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("quick") => quick = true,
            Long("long") => long = true,
            Long("keep-going") => keep_going = true,
            Long("check") => check = true,
            Long("crate") => member = Some(parser.value()?.string()?),
            Long("peer") => peer = Some(parser.value()?.string()?),
            Long("only") => only.extend(named_steps(&parser.value()?.string()?)?),
            Value(value) if verb.is_none() => verb = Some(value.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let runs = quick || long || keep_going || !only.is_empty();
    match verb.as_deref() {
        Some("python") if !(quick || keep_going || check || member.is_some() || !only.is_empty()) => {
            Ok(Command::Python { long, peer })
        }
        Some("python") => Err("`python` takes only the options --long and --peer".into()),
        Some(_) if peer.is_some() => Err("--peer is an option of `python`".into()),
        Some("lines") if !runs && member.is_none() => Ok(Command::CountLines { check }),
        Some("lines") => Err("`lines` takes only the option --check".into()),
        Some("order") if !runs => Ok(Command::Order { member, check }),
        Some("order") => Err("`order` takes only the options --check and --crate".into()),
        Some("words") if !runs && !check => Ok(Command::Words { member }),
        Some("words") => Err("`words` takes only the option --crate".into()),
        Some(_) if check => Err("--check is an option of `lines` and `order`".into()),
        Some(_) if member.is_some() => Err("--crate is an option of `order` and `words`".into()),
        Some("test") if quick || long || !only.is_empty() => {
            Err("`test` takes no such option; `ci` does".into())
        }
        Some("test") => Ok(Command::Run(Run { selection: Selection::Embedded, long, keep_going })),
        Some("ci") => Ok(Command::Run(Run { selection: selection(quick, only)?, long, keep_going })),
        Some(verb @ ("list" | "postgres")) if runs => Err(format!("`{verb}` takes no options").into()),
        Some("postgres") => Ok(Command::Postgres),
        Some("list") => Ok(Command::List),
        Some(other) => Err(format!("there is no command `{other}`").into()),
        None => Err("which command?".into()),
    }
}

/// `--quick` and `--only` are two answers to one question.
fn selection(quick: bool, only: Vec<&'static Step>) -> Result<Selection> {
    match (quick, only.is_empty()) {
        (true, false) => Err("--quick and --only exclude each other".into()),
        (true, true) => Ok(Selection::Quick),
        (false, true) => Ok(Selection::All),
        (false, false) => Ok(Selection::Only(only)),
    }
}

/// The steps of a comma-separated list.
fn named_steps(list: &str) -> Result<Vec<&'static Step>> {
    let find = |name: &str| {
        steps::STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
            let names: Vec<_> = steps::STEPS.iter().map(|step| step.name).collect();
            format!("there is no step `{name}`; the steps are {}", names.join(", ")).into()
        })
    };
    list.split(',').map(str::trim).map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_of(line: &[&str]) -> Vec<&'static str> {
        match parse(lexopt::Parser::from_args(line)).expect("a good command line") {
            Command::Run(run) => run.selection.steps().iter().map(|step| step.name).collect(),
            other => panic!("not a run: {other:?}"),
        }
    }

    fn complaint(line: &[&str]) -> String {
        parse(lexopt::Parser::from_args(line)).expect_err("a bad command line").to_string()
    }

    #[test]
    fn test_runs_the_embedded_default_and_ci_runs_every_step() {
        assert_eq!(steps_of(&["test"]), ["tests", "doctests"]);
        assert_eq!(steps_of(&["ci"]).len(), steps::STEPS.len());
    }

    #[test]
    fn quick_is_the_inner_loop() {
        assert_eq!(steps_of(&["ci", "--quick"]), ["fmt", "clippy", "tests"]);
    }

    #[test]
    fn only_keeps_the_order_of_the_list() {
        assert_eq!(steps_of(&["ci", "--only", "guard,fmt", "--only=docs"]), ["fmt", "docs", "guard"]);
    }

    #[test]
    fn an_unknown_step_is_answered_with_the_known_ones() {
        let complaint = complaint(&["ci", "--only", "fmt,nonsense"]);
        assert!(complaint.contains("`nonsense`") && complaint.contains("conformance"), "{complaint}");
    }

    #[test]
    fn a_long_run_is_asked_for() {
        let is_long = |line: &[&str]| match parse(lexopt::Parser::from_args(line)) {
            Ok(Command::Run(run)) => run.long,
            other => panic!("not a run: {other:?}"),
        };
        assert!(is_long(&["ci", "--long", "--only", "reliability"]));
        assert!(!is_long(&["ci"]));
    }

    #[test]
    fn python_is_long_or_of_one_peer() {
        let python = |line: &[&str]| match parse(lexopt::Parser::from_args(line)) {
            Ok(Command::Python { long, peer }) => (long, peer),
            other => panic!("not `python`: {other:?}"),
        };
        assert_eq!(python(&["python"]), (false, None));
        assert_eq!(python(&["python", "--long", "--peer", "chatkit"]), (true, Some("chatkit".into())));
    }

    #[test]
    fn lines_are_checked_on_request() {
        let check = |line: &[&str]| match parse(lexopt::Parser::from_args(line)) {
            Ok(Command::CountLines { check }) => check,
            other => panic!("not `lines`: {other:?}"),
        };
        assert!(check(&["lines", "--check"]));
        assert!(!check(&["lines"]));
    }

    #[test]
    fn order_is_of_the_core_or_a_named_member() {
        let order = |line: &[&str]| match parse(lexopt::Parser::from_args(line)) {
            Ok(Command::Order { member, check }) => (member, check),
            other => panic!("not `order`: {other:?}"),
        };
        assert_eq!(order(&["order"]), (None, false));
        assert_eq!(order(&["order", "--check", "--crate", "engine"]), (Some("engine".into()), true));
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(complaint(&["ci", "--quick", "--only", "fmt"]).contains("exclude"));
        assert!(complaint(&["list", "--quick"]).contains("no options"));
        assert!(complaint(&["test", "--quick"]).contains("`ci` does"));
        assert!(complaint(&["postgres", "--long"]).contains("no options"));
        assert!(complaint(&["lines", "--quick"]).contains("only the option --check"));
        assert!(complaint(&["lines", "--crate", "core"]).contains("only the option --check"));
        assert!(complaint(&["order", "--long"]).contains("--check and --crate"));
        assert!(complaint(&["words", "--check"]).contains("only the option --crate"));
        assert!(complaint(&["test", "--crate", "core"]).contains("--crate is an option of"));
        assert!(complaint(&["ci", "--check"]).contains("--check is an option of"));
        assert!(complaint(&["python", "--quick"]).contains("only the options --long and --peer"));
        assert!(complaint(&["ci", "--peer", "chatkit"]).contains("--peer is an option of `python`"));
        assert!(complaint(&["ci", "fmt"]).contains("fmt"));
        assert!(complaint(&["bake"]).contains("`bake`"));
        assert!(complaint(&[]).contains("which command"));
    }
}
