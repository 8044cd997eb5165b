//! Repeated calls with the same idempotency key: from several processes, before and after a crash.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread,
    time::Duration,
};

use throughline_core::{
    Content, MessageState, NewReservation, Persistence, Role,
    messages::{PageFrom, Visibility},
};
use throughline_reliability::{
    Report,
    acks::{message, name_of},
    scaled,
    worker::{Job, Work, Worker},
};
use throughline_sqlite::SqliteBackend;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

async fn open(path: &Path) -> Persistence {
    Persistence::builder().backend(SqliteBackend::open(path).await.unwrap()).build().unwrap()
}

fn thread_of(key: u64) -> String {
    format!("t{}", key % 8)
}

/// Makes what every fourth key appends to, and what every fifth one deletes.
async fn prepare(path: &Path, keys: u64) {
    let db = open(path).await;
    for key in 0..keys {
        let thread = db.thread(thread_of(key));
        let name = format!("m{key}");
        let id = name.parse().unwrap();
        match key % 5 {
            3 => drop(thread.reserve(NewReservation::new(Role::Assistant).with_id(id)).await.unwrap()),
            4 => drop(thread.add(message(&name).with_id(id)).await.unwrap()),
            _ => {}
        }
    }
    db.close().await.unwrap();
}

/// The answers to one key.
#[derive(Default)]
struct Answers {
    different: BTreeSet<String>,
    first: u64,
}

/// Everything that was answered to anybody; and how many answers those are.
fn answers(directory: &Path) -> (BTreeMap<u64, Answers>, u64) {
    let mut answers = BTreeMap::<u64, Answers>::new();
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let log = fs::read_to_string(entry.unwrap().path()).unwrap();
        // The last line of one that was killed may be torn.
        for line in log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let [key, deduplicated, answer] = line.splitn(3, '\t').collect::<Vec<_>>()[..] else {
                panic!("a line is `{line}`");
            };
            let of_key = answers.entry(key.parse().unwrap()).or_default();
            of_key.different.insert(answer.to_owned());
            of_key.first += u64::from(deduplicated == "false");
            count += 1;
        }
    }
    (answers, count)
}

/// The messages that the key has had its effect on: name, state and content of each.
fn effect(key: u64) -> Vec<(String, MessageState, Content)> {
    let name = format!("k{key}");
    let whole = |name: &str| (name.to_owned(), MessageState::Final, message(name).content().clone());
    match key % 5 {
        0 => vec![whole(&name)],
        1 => vec![whole(&format!("{name}.0")), whole(&format!("{name}.1"))],
        2 => vec![(name, MessageState::Reserved, Content::empty())],
        3 => vec![(format!("m{key}"), MessageState::Streaming, Content::text("once"))],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn rel_12_a_call_with_a_key_has_one_effect_and_one_answer() {
    let mut report = Report::new("REL-12");
    let mut random = report.random();
    let directory = || tempfile::tempdir().unwrap();
    let (store, logs) = (directory(), directory());
    let path = store.path().join("chat.db");
    let keys = scaled(800);
    prepare(&path, keys).await;

    let crashes = scaled(12);
    for round in 0..=crashes {
        let mut workers = [0, 1].map(|process| {
            let job = Job::new(&path, logs.path(), format!("{round}.{process}"));
            let job = Job { work: Work::Repeat, tasks: 16, operations: Some(keys), ..job };
            Worker::start(WORKER, &Job { seed: random.u64(..), ..job }).unwrap()
        });
        // The last two see it through.
        if round < crashes {
            assert_eq!(workers[0].line().as_deref(), Some("open"));
            thread::sleep(Duration::from_millis(random.u64(5..=200)));
            for worker in &mut workers {
                worker.kill().unwrap();
            }
        }
        for worker in &mut workers {
            let end = worker.end().unwrap();
            assert!(end.was_good() || round < crashes && end.was_killed(), "{end:?}");
            report.fired("kill", u64::from(end.was_killed()));
        }
    }

    let (answers, count) = answers(logs.path());
    assert_eq!(answers.len() as u64, keys);
    let mut expected = Vec::new();
    let mut repeated_over_a_crash = 0;
    for (key, answers) in answers {
        assert_eq!(answers.different.len(), 1, "key {key} was answered {:?}", answers.different);
        assert!(answers.first <= 1, "key {key} was applied {} times", answers.first);
        // The process with the first answer was killed before it recorded the answer.
        repeated_over_a_crash += u64::from(answers.first == 0);
        expected.extend(effect(key).into_iter().map(|message| (thread_of(key), message)));
    }
    let db = open(&path).await;
    let mut found = Vec::new();
    for thread in 0..8 {
        let thread = thread_of(thread);
        let mut walk = db.thread(&thread).walk(PageFrom::Start, Visibility::All);
        while let Some(message) = walk.next().await.unwrap() {
            let name = name_of(&message).unwrap_or_else(|| message.id.to_string());
            found.push((thread.clone(), (name, message.state, message.content)));
        }
    }
    db.close().await.unwrap();
    let key =
        |(thread, (name, ..)): &(String, (String, MessageState, Content))| (thread.clone(), name.clone());
    expected.sort_by_key(key);
    found.sort_by_key(key);
    assert!(found == expected, "the effects are not those of {keys} keys");
    report.count("keys", keys);
    report.count("answers", count);
    report.fired("applied and killed before it was recorded", repeated_over_a_crash);
    report.finish();
}
