//! Two agents, three users on two channels: each conversation resumes its own session, whatever is reset, moved, lost or killed.
//!
//! ```text
//! cargo run --release --example sessions
//! ```
//!
//! The agent is a process of its own (this program again, see `agent.rs`) and keeps its sessions in a folder of its machine. The
//! host (`host.rs`) only knows their names; which one is resumed, and whether any is, is left to the runner.
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
        (Some("host"), Some(folder)) => return doomed(&folder).await.map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    let folder = tempfile::tempdir()?;
    let host = Host::open(folder.path()).await?;
    let rows = story(&host, folder.path()).await?;
    println!("{}", Table(&rows));
    let wrong = verify::verify(&host, &rows, &expected()).await?;
    host.db.close().await?;
    for wrong in &wrong {
        println!("WRONG: {wrong}");
    }
    if wrong.is_empty() {
        println!("all of it is as it should be");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

const fn to<'a>(scene: &'static str, thread: &'a str, machine: &'a str, text: &'a str) -> Task<'a> {
    Task { scene, agent: "coder", thread, machine, text }
}

/// Everything that happens.
async fn story(host: &Host, folder: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    rows.push(host.run(to("a first message", ANNA, "laptop", "one")).await?);
    rows.push(host.run(to("a second message", ANNA, "laptop", "two")).await?);
    // Another user, and another channel.
    rows.push(host.run(to("another user", BEN, "laptop", "one")).await?);
    rows.push(host.run(to("another channel", CARA, "laptop", "one")).await?);

    let origin = HandOff { agent: "coder".parse()?, thread: ANNA.parse()?, attempt: rows[1].attempt.clone() };
    let handed = Task { agent: "writer", ..to("work that is handed on", ANNA, "laptop", "write it down") };
    rows.push(host.hand_on(handed, origin).await?);

    host.db.agent("coder").on(BEN).reset().await?;
    rows.push(host.run(to("a reset: Ben begins anew", BEN, "laptop", "two")).await?);
    rows.push(host.run(to("Anna does not", ANNA, "laptop", "three")).await?);

    rows.push(host.run(to("the agent moves to a server", ANNA, "server", "four")).await?);
    rows.push(host.run(to("it goes on there", ANNA, "server", "five")).await?);
    rows.push(host.run(to("and has its own on the laptop", ANNA, "laptop", "six")).await?);

    agent::lose(&host.sessions("laptop"), "laptop-3")?;
    rows.push(host.run(to("Cara's session is lost", CARA, "laptop", "two")).await?);
    rows.push(host.run(to("she is told once", CARA, "laptop", "three")).await?);

    rows.push(host.run(to("the agent crashes", BEN, "laptop", agent::CRASH)).await?);
    rows.push(host.run(to("it knows what it was asked", BEN, "laptop", "three")).await?);

    let learned = Notify::new();
    let stopped = to("Ben stops it", BEN, "laptop", agent::HANG);
    rows.push(host.run_until(stopped, None, learned.notified(), || learned.notify_one()).await?);
    rows.push(host.run(to("and goes on", BEN, "laptop", "four")).await?);

    kill_a_host(folder).await?;
    rows.push(host.run(to("its host is killed before the end", CARA, "laptop", "four")).await?);

    let dir = rows.iter().find(|row| row.thread == BEN).and_then(|row| row.dir.clone()).ok_or("no folder")?;
    fs::remove_dir_all(dir)?;
    rows.push(host.run(to("Ben's folder is gone", BEN, "laptop", "five")).await?);
    Ok(rows)
}

/// What it comes to: what each run resumed, what it ran, how much of it was said before, and how it ended.
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

/// Starts a second host, and kills it when the agent has said its session: between the beginning and the end of a run.
async fn kill_a_host(folder: &Path) -> Result<(), Failure> {
    let mut host =
        Command::new(env::current_exe()?).arg("host").arg(folder).stdout(Stdio::piped()).spawn()?;
    let says = host.stdout.take().ok_or("no pipe")?;
    BufReader::new(says).lines().next_line().await?.ok_or("the host ended too early")?;
    host.kill().await?;
    Ok(())
}

/// A host that is killed.
async fn doomed(folder: &Path) -> Result<(), Failure> {
    let host = Host::open(folder).await?;
    let task = to("", CARA, "laptop", agent::HANG);
    host.run_until(task, None, std::future::pending(), || println!("the agent is at work")).await?;
    Ok(())
}
