//! Two agents talk to three users on two channels. Each conversation resumes its own session, also after resets, moves,
//! lost sessions and crashes.
//!
//! ```text
//! cargo run --release --example sessions
//! ```
//!
//! The agent is a separate process (this program again, see `agent.rs`) that keeps its sessions in a folder of its
//! machine. The host (`host.rs`) stores only the session ids, and lets the runner decide which session a run resumes.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod agent;
mod host;
mod table;
mod verify;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
};

use throughline::sessions::{HandOff, Withheld};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    sync::Notify,
};

use self::{
    host::{Host, Task},
    table::{Row, Table},
    verify::Expected,
};

type Failure = Box<dyn Error + Send + Sync>;

const ANNA: &str = "telegram:1";
const BEN: &str = "telegram:2";
const CARA: &str = "discord:7";

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let mut arguments = env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next().map(PathBuf::from)) {
        (Some("agent"), Some(sessions)) => return agent::run(&sessions).map(|()| ExitCode::SUCCESS),
        (Some("host"), Some(folder)) => return run_until_killed(&folder).await.map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let folder = tempfile::tempdir()?;
    let host = Host::open(folder.path()).await?;
    let rows = run_scenes(&host, folder.path()).await?;
    println!("{}", Table(&rows));
    let errors = verify::verify(&host, &rows, &expected()).await?;
    host.db.close().await?;
    for error in &errors {
        println!("WRONG: {error}");
    }
    if errors.is_empty() {
        println!("all runs are as expected");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

const fn to<'a>(scene: &'static str, thread: &'a str, machine: &'a str, text: &'a str) -> Task<'a> {
    Task { scene, agent: "coder", thread, machine, text }
}

/// Runs all scenes in order.
async fn run_scenes(host: &Host, folder: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    rows.push(host.run(to("a first message", ANNA, "laptop", "one")).await?);
    rows.push(host.run(to("a second message", ANNA, "laptop", "two")).await?);
    // A different user, then a different channel.
    rows.push(host.run(to("another user", BEN, "laptop", "one")).await?);
    rows.push(host.run(to("another channel", CARA, "laptop", "one")).await?);

    let origin = HandOff { agent: "coder".parse()?, thread: ANNA.parse()?, attempt: rows[1].attempt.clone() };
    let handed = Task { agent: "writer", ..to("handed-off work", ANNA, "laptop", "write it down") };
    rows.push(host.run_handed_off(handed, origin).await?);

    host.db.agent("coder").on(BEN).reset().await?;
    rows.push(host.run(to("a reset: Ben starts over", BEN, "laptop", "two")).await?);
    rows.push(host.run(to("Anna is not affected", ANNA, "laptop", "three")).await?);

    rows.push(host.run(to("the agent moves to a server", ANNA, "server", "four")).await?);
    rows.push(host.run(to("it continues there", ANNA, "server", "five")).await?);
    rows.push(host.run(to("the laptop resumes its own", ANNA, "laptop", "six")).await?);

    agent::make_unavailable(&host.sessions("laptop"), "laptop-3")?;
    rows.push(host.run(to("Cara's session is lost", CARA, "laptop", "two")).await?);
    rows.push(host.run(to("the gap is reported once", CARA, "laptop", "three")).await?);

    rows.push(host.run(to("the agent crashes", BEN, "laptop", agent::CRASH)).await?);
    rows.push(host.run(to("its session has the prompt", BEN, "laptop", "three")).await?);

    let pinned = Notify::new();
    let stopped = to("Ben stops it", BEN, "laptop", agent::HANG);
    rows.push(host.run_until(stopped, None, pinned.notified(), || pinned.notify_one()).await?);
    rows.push(host.run(to("and continues", BEN, "laptop", "four")).await?);

    kill_a_host(folder).await?;
    rows.push(host.run(to("its host is killed before the end", CARA, "laptop", "four")).await?);

    let dir = rows.iter().find(|row| row.thread == BEN).and_then(|row| row.dir.clone()).ok_or("no folder")?;
    fs::remove_dir_all(dir)?;
    rows.push(host.run(to("Ben's folder is gone", BEN, "laptop", "five")).await?);
    Ok(rows)
}

/// The expected outcome of each scene: the resumed session, the session that ran, the remembered prompts, the end, and the gap.
fn expected() -> Vec<Expected> {
    const OK: &str = "confirmed";
    vec![
        ("-", "laptop-1", 0, OK, None),
        ("laptop-1", "laptop-1", 1, OK, None),
        ("-", "laptop-2", 0, OK, None),
        ("-", "laptop-3", 0, OK, None),
        ("-", "laptop-4", 0, OK, None),
        ("-", "laptop-5", 0, OK, Some(Withheld::Generation)),
        ("laptop-1", "laptop-1", 2, OK, None),
        ("-", "server-1", 0, OK, Some(Withheld::RuntimeMismatch)),
        ("server-1", "server-1", 1, OK, None),
        ("laptop-1", "laptop-1", 3, OK, Some(Withheld::RuntimeMismatch)),
        ("-", "laptop-6", 0, OK, Some(Withheld::ArtifactMissing)),
        ("laptop-6", "laptop-6", 1, OK, None),
        ("laptop-5", "-", 0, "failed (runtimeOffline)", None),
        ("laptop-5", "laptop-5", 2, OK, None),
        ("laptop-5", "-", 0, "stopped", None),
        ("laptop-5", "laptop-5", 4, OK, None),
        ("laptop-6", "laptop-6", 3, OK, None),
        ("-", "laptop-7", 0, OK, Some(Withheld::WorkDirGone)),
    ]
}

/// Starts a second host, and kills it after the agent has reported its session, in the middle of a run.
async fn kill_a_host(folder: &Path) -> Result<(), Failure> {
    let mut host =
        Command::new(env::current_exe()?).arg("host").arg(folder).stdout(Stdio::piped()).spawn()?;
    let output = host.stdout.take().ok_or("no pipe")?;
    BufReader::new(output).lines().next_line().await?.ok_or("the host ended too early")?;
    host.kill().await?;
    Ok(())
}

/// The second host, which runs until it is killed.
async fn run_until_killed(folder: &Path) -> Result<(), Failure> {
    let host = Host::open(folder).await?;
    let task = to("", CARA, "laptop", agent::HANG);
    host.run_until(task, None, std::future::pending(), || println!("the agent is at work")).await?;
    Ok(())
}
