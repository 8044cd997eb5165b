//! `python`: the Python package, its types and its tests, and the suites that its peers publish.
//!
//! The step builds one wheel and installs it into one environment for the tests of the package, and one for each peer. All of them are in
//! the target folder. The environments are made while the wheel compiles, and the checks run side by side after that. The step prints how
//! long each part took.
//!
//! The step of `ci` leaves out the suites that take longest. `cargo xtask python` runs all, or those of one peer.
//!
//! Without a python3 of version 3.10 or newer, or without the index of its packages, the step is skipped, by name. It is no part of
//! `cargo xtask test`.

mod package;
mod peers;
mod sources;

use std::thread;
use std::time::{Duration, Instant};

use throughline_postgres_cluster::Cluster;

use self::package::Wheel;
use self::peers::Peer;
use super::installation::Installation;
use super::parts::{self, Part};
use super::postgres;
use super::python_environment::Environment;
use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The folder of the package, from the root.
const PACKAGE: &str = "crates/python";

/// The check that the oldest supported version passes.
const VERSION: &str = "import sys; sys.exit(sys.version_info < (3, 10))";

/// The peers of the step of `ci`. The suites of the others take longer than all of these.
const IN_CI: [&str; 3] = ["chatkit", "langgraph", "pydantic_ai"];

/// The longest time limit of a suite that the step of `ci` runs, in seconds.
const LIMIT_IN_CI: u64 = 300;

/// Checks the package, and the peers with their short suites.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    if workspace.is_long() {
        return check(workspace, skips, None);
    }
    let left_out = format!(
        "the suites of the other peers than {}, and those with a limit above {LIMIT_IN_CI} s",
        IN_CI.join(", ")
    );
    skips.add(left_out, "they take longer than the rest of the step: `cargo xtask python` runs them");
    let mut peers = peers::named(workspace, None)?;
    peers.retain(|peer| IN_CI.contains(&peer.as_str()));
    check_peers(workspace, skips, (&peers, LIMIT_IN_CI), None)
}

/// Checks the package and all peers, or only one peer.
pub(crate) fn check(workspace: &Workspace, skips: &mut Skips, peer: Option<&str>) -> Result {
    check_peers(workspace, skips, (&peers::named(workspace, peer)?, u64::MAX), peer)
}

/// Checks the suites of the peers whose limits are not longer, and the package unless only one peer is asked for.
fn check_peers(
    workspace: &Workspace,
    skips: &mut Skips,
    (peers, longest): (&[String], u64),
    peer: Option<&str>,
) -> Result {
    if !workspace.program("python3").args(["-c", VERSION]).succeeds() {
        skips.add(untested(peers, peer), "there is no python3 of version 3.10 or newer");
        return Ok(());
    }
    let mut times = Vec::new();
    let (tools, wheel, peers) = match prepare(workspace, peers, &mut times)? {
        Installation::Complete(prepared) => prepared,
        Installation::Impossible(why) => {
            skips.add(untested(peers, peer), why);
            return Ok(());
        }
    };
    let (peers, mut failures) = present(skips, peers);
    let needs_cluster = peer.is_none() || workspace.is_long();
    let cluster = if needs_cluster { postgres::serve(workspace, skips)? } else { None };
    let start = Instant::now();
    install(workspace, &wheel, peers.iter().map(Peer::python).chain(peer.is_none().then_some(&tools)))?;
    times.push(("installing the wheel".to_owned(), start.elapsed()));

    let parts =
        parts(workspace, (&peers, longest), peer.is_none().then_some((&tools, &wheel)), cluster.as_ref())?;
    let ended = parts::run(parts, parts::at_once(), &peers::work(workspace)?)?;
    for peer in &peers {
        peer.collect(workspace, skips)?;
    }
    for part in ended {
        if part.failure.is_some() {
            failures.push(part.name.clone());
        }
        times.push((part.name, part.took));
    }
    println!("\n{:<40} {:>8}", "part of the step", "seconds");
    for (part, took) in &times {
        println!("{part:<40} {:>8.1}", took.as_secs_f64());
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {}", failures.join(", ")).into()) }
}

/// The checks that a run leaves out if it can do nothing.
fn untested(peers: &[String], only: Option<&str>) -> String {
    let suites = format!("the suites of {}", peers.join(", "));
    if only.is_some() { suites } else { format!("the Python package: its types, its tests, and {suites}") }
}

/// A peer by its name, with the reason why its environment is not there, or the error of the project.
type Prepared = (String, std::result::Result<Installation<Peer>, String>);

/// Builds the wheel, and meanwhile makes the environments of the peers.
fn prepare(
    workspace: &Workspace,
    peers: &[String],
    times: &mut Vec<(String, Duration)>,
) -> Result<Installation<(Environment, Wheel, Vec<Prepared>)>> {
    let start = Instant::now();
    let (wheel, prepared) = thread::scope(|scope| {
        let prepared = scope.spawn(|| {
            // An index that is out of reach for one peer is so for the next one, which would wait for it as long.
            let mut impossible = None;
            let mut prepare = |peer: &String| {
                if let Some(why) = &impossible {
                    return Ok(Installation::Impossible(String::clone(why)));
                }
                let prepared = Peer::prepare(workspace, peer).map_err(|error| error.to_string());
                if let Ok(Installation::Impossible(why)) = &prepared {
                    impossible = Some(why.clone());
                }
                prepared
            };
            let prepared: Vec<Prepared> = peers.iter().map(|peer| (peer.clone(), prepare(peer))).collect();
            (prepared, start.elapsed())
        });
        let wheel = wheel(workspace);
        times.push(("the wheel".to_owned(), start.elapsed()));
        (wheel, prepared.join())
    });
    let (prepared, took) = prepared.map_err(|_| "the environments of the peers: a panic")?;
    times.push(("the environments of the peers, meanwhile".to_owned(), took));
    match wheel? {
        Installation::Complete((tools, wheel)) => Ok(Installation::Complete((tools, wheel, prepared))),
        Installation::Impossible(why) => Ok(Installation::Impossible(why)),
    }
}

/// The environment of the tools, and the wheel that they build.
fn wheel(workspace: &Workspace) -> Result<Installation<(Environment, Wheel)>> {
    match package::environment(workspace)? {
        Installation::Complete(tools) => {
            let wheel = Wheel::build(workspace, &tools)?;
            Ok(Installation::Complete((tools, wheel)))
        }
        Installation::Impossible(why) => Ok(Installation::Impossible(why)),
    }
}

/// The peers that are there. The others are skipped, or failed.
fn present(skips: &mut Skips, prepared: Vec<Prepared>) -> (Vec<Peer>, Vec<String>) {
    let (mut peers, mut failures) = (Vec::new(), Vec::new());
    for (name, peer) in prepared {
        match peer {
            Ok(Installation::Complete(peer)) => peers.push(peer),
            Ok(Installation::Impossible(why)) => skips.add(format!("the suites of {name}"), why),
            Err(error) => {
                println!("FAILED: {name}: {error}");
                failures.push(name);
            }
        }
    }
    (peers, failures)
}

/// Installs the wheel into all environments, at once.
fn install<'a>(
    workspace: &Workspace,
    wheel: &Wheel,
    environments: impl Iterator<Item = &'a Environment>,
) -> Result {
    let errors: Vec<String> = thread::scope(|scope| {
        let installs: Vec<_> = environments
            .map(|python| {
                scope.spawn(|| wheel.install(workspace, python).err().map(|error| error.to_string()))
            })
            .collect();
        let join = |install: thread::ScopedJoinHandle<'_, Option<String>>| {
            install.join().unwrap_or_else(|_| Some("the installation of the wheel: a panic".to_owned()))
        };
        installs.into_iter().filter_map(join).collect()
    });
    errors.into_iter().next().map_or(Ok(()), |error| Err(error.into()))
}

/// All checks, those that take longest first.
fn parts(
    workspace: &Workspace,
    (peers, longest): (&[Peer], u64),
    package: Option<(&Environment, &Wheel)>,
    cluster: Option<&Cluster>,
) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for peer in peers {
        parts.extend(peer.parts(workspace, cluster)?.into_iter().filter(|(seconds, _)| *seconds <= longest));
    }
    if let Some((tools, wheel)) = package {
        parts.extend(package::parts(workspace, tools, wheel, cluster));
    }
    parts.sort_by_key(|(seconds, _)| std::cmp::Reverse(*seconds));
    Ok(parts.into_iter().map(|(_, part)| part).collect())
}
