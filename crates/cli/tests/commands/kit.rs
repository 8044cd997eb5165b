//! The program, a store to run it on, and the state of its files.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::Value;
use throughline::{NewMessage, Persistence, Role, Timestamp, pipeline::Clock, sqlite::SqliteOptions};

/// The program without the settings of the caller.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    for name in ["STORE", "TENANT", "TOKENS", "AUDIT_KEY_FILE"] {
        command.env_remove(format!("THROUGHLINE_{name}"));
    }
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "CLICOLOR"] {
        command.env_remove(name);
    }
    command.env("COLUMNS", "80");
    command
}

/// The exit code and the output of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The only JSON document of the output.
    pub(crate) fn json(&self) -> Value {
        let value: Value =
            serde_json::from_str(self.out.trim()).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(value["version"], 1, "{value}");
        value
    }

    /// The JSON documents of the output, one on each line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the program without a store.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    program().args(arguments).output().unwrap().into()
}

/// Runs the program on a store.
pub(crate) fn run_on(store: &Path, arguments: &[&str]) -> Ran {
    program().arg("--store").arg(store).args(arguments).output().unwrap().into()
}

/// Runs the program, with a closed output, on a store.
pub(crate) fn run_with_closed_output(store: &Path, arguments: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program();
    command.arg("--store").arg(store).args(arguments).stdout(writer).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap().into()
}

/// Opens a store with a full-text index, to be written by the test.
pub(crate) async fn open(path: &Path) -> Persistence {
    let backend = SqliteOptions::new().search(true).open(path).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// The clock of a writer that died a day ago.
#[derive(Debug)]
pub(crate) struct Yesterday;

impl Clock for Yesterday {
    fn now(&self) -> Timestamp {
        (SystemTime::now() - Duration::from_hours(24)).into()
    }
}

/// A closed store with two threads of the default tenant, one of another, and an open reply.
pub(crate) async fn store(path: &Path) {
    let db = open(path).await;
    let trip = db.thread("trip");
    trip.add(NewMessage::user("Where to? Lisbon by train").with_id("m-1".parse().unwrap())).await.unwrap();
    let mut reply = trip.reserve(Role::Assistant).await.unwrap();
    reply.append("To the sea").await.unwrap();
    reply.finish().await.unwrap();
    trip.rename("The trip".parse().unwrap()).await.unwrap();
    db.thread("telegram:42").add(NewMessage::user("hello")).await.unwrap();
    let alice = db.for_tenant("alice".parse().unwrap());
    alice.thread("diary").add(NewMessage::user("Dear diary")).await.unwrap();
    let open =
        trip.reserve(throughline::NewReservation::new(Role::Assistant).with_id("open-1".parse().unwrap()));
    let mut open = open.await.unwrap();
    open.append("I am still").await.unwrap();
    open.flush().await.unwrap();
    // As a crash leaves it: the draft is not finished.
    drop(open);
    db.close().await.unwrap();
}

/// A file: its length, its time of change, and the hash of its bytes.
type FileState = (u64, SystemTime, blake3::Hash);

/// The state of every file of a folder.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, FileState> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let metadata = entry.metadata().unwrap();
            let hash = blake3::hash(&fs::read(entry.path()).unwrap());
            let name = entry.file_name().into_string().unwrap();
            (name, (metadata.len(), metadata.modified().unwrap(), hash))
        })
        .collect()
}
