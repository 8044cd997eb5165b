//! The steps of `cargo xtask test` and of `cargo xtask ci`, in order.
//!
//! Clippy, tests, doctests, documentation and conformance all build the whole workspace with all features: what
//! one of them has compiled, the next finds. A call with `-p` would choose other features for shared dependencies
//! and compile those again.

mod browser;
mod cargo;
mod conformance;
mod embedded;
mod examples;
mod features;
mod guard;
mod http;
mod installation;
mod other_systems;
mod package;
mod parts;
pub(crate) mod postgres;
pub(crate) mod python;
mod python_environment;
mod reliability;
mod semver;
mod tools;

use std::fmt::Write;

use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// One named check.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its name for `--only`.
    pub(crate) name: &'static str,
    /// Its check, in a few words.
    pub(crate) summary: &'static str,
    /// Part of the inner loop.
    pub(crate) quick: bool,
    /// Does it.
    pub(crate) run: fn(&Workspace, &mut Skips) -> Result,
}

/// The steps of `test`.
pub(crate) const EMBEDDED: &[Step] = &[
    Step {
        name: "tests",
        summary: "unit tests, integration tests, conformance, laws",
        quick: false,
        run: embedded::tests,
    },
    Step {
        name: "doctests",
        summary: "examples in the documentation",
        quick: false,
        run: embedded::doctests,
    },
];

/// The steps of `ci`.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "tools",
        summary: "the tools of the other steps are installed",
        quick: false,
        run: tools::run,
    },
    Step { name: "fmt", summary: "the source is formatted", quick: true, run: cargo::fmt },
    Step { name: "clippy", summary: "no lint of rustc or clippy", quick: true, run: cargo::clippy },
    Step { name: "tests", summary: "unit and integration tests", quick: true, run: cargo::tests },
    Step { name: "doctests", summary: "examples in the documentation", quick: false, run: cargo::doctests },
    Step {
        name: "docs",
        summary: "the documentation builds without a warning",
        quick: false,
        run: cargo::docs,
    },
    Step {
        name: "features",
        summary: "every feature alone, none, and all",
        quick: false,
        run: features::run,
    },
    Step { name: "examples", summary: "every example runs", quick: false, run: examples::run },
    Step {
        name: "http",
        summary: "clients of other languages use the HTTP interface",
        quick: false,
        run: http::run,
    },
    Step {
        name: "conformance",
        summary: "the tables of backends and laws",
        quick: false,
        run: conformance::run,
    },
    Step {
        name: "reliability",
        summary: "the failures that the stores survive",
        quick: false,
        run: reliability::run,
    },
    Step { name: "browser", summary: "the web page in a real Chromium", quick: false, run: browser::run },
    Step {
        name: "python",
        summary: "the Python package, and the short suites of its peers",
        quick: false,
        run: python::run,
    },
    Step {
        name: "package",
        summary: "the packages compile, and a project outside builds on them",
        quick: false,
        run: package::run,
    },
    Step { name: "guard", summary: "the rules of the source", quick: false, run: guard::run },
    Step { name: "order", summary: "the modules of the core form no circle", quick: false, run: order },
];

fn order(workspace: &Workspace, _: &mut Skips) -> Result {
    crate::order::run(workspace, None, true)
}

/// The output of `cargo xtask list`.
pub(crate) fn listing() -> String {
    let mut out = String::new();
    for Step { name, summary, quick, .. } in STEPS {
        let star = if *quick { "*" } else { " " };
        writeln!(out, "{star} {name:<12} {summary}").expect("a string takes any text");
    }
    out.push_str("\n* also with --quick\n");
    out
}
