//! VL-S22: no stored or logged byte contains a part of a secret that is split over appends.

use std::{path::Path, time::Duration};

use proptest::prelude::*;
use throughline::{
    Content, Delta, ErrorKind, NewMessage, NewReservation, Persistence, Role,
    layers::{redact::RedactLayer, trace::TraceLayer},
    messages::{Add, Batch, ContentChange, Reserve, UpdateContent, UpdateMode},
    sqlite::SqliteBackend,
};

use super::{
    corpus::{Sample, leak, samples},
    logged,
};

async fn open(path: &Path) -> Persistence {
    let backend = SqliteBackend::open(path).await.unwrap();
    Persistence::builder()
        .layer(TraceLayer::new())
        .layer(RedactLayer::secrets().open_messages(1 << 16))
        .backend(backend)
        .build()
        .unwrap()
}

/// Returns every file of the store.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

fn append(thread: &str, id: &str, text: &str, mode: UpdateMode) -> UpdateContent {
    let change = ContentChange::Append(Delta::text(text));
    UpdateContent::new(thread.parse().unwrap(), id.parse().unwrap(), change, mode)
}

/// Writes the sample at every position split in two, and at some positions split in three. Each split has its own
/// message; all messages with one split position share a transaction.
async fn write_split(db: Persistence, number: usize, sample: Sample) {
    let thread = format!("t{number}");
    let whole = sample.text();
    let from = sample.before.len();
    let ids: Vec<(String, usize, usize)> = (from..=from + sample.secret.len())
        .flat_map(|position| {
            let second = position + (position * 7 + number) % (whole.len() - position + 1);
            [(format!("a{position}"), position, position), (format!("b{position}"), position, second)]
        })
        .filter(|(id, _, _)| id.starts_with('a') || number.is_multiple_of(8))
        .collect();
    let reserve = |batch: Batch, (id, _, _): &(String, usize, usize)| {
        let new = NewReservation::new(Role::Assistant).with_id(id.parse().unwrap());
        batch.with(Reserve::new(thread.parse().unwrap(), new))
    };
    db.batch(ids.iter().fold(Batch::new(), reserve)).await.unwrap();
    type Part = fn(&str, usize, usize) -> &str;
    let parts: [Part; 3] = [
        |whole, first, _| &whole[..first],
        |whole, first, second| &whole[first..second],
        |whole, _, second| &whole[second..],
    ];
    for (step, part) in parts.iter().enumerate() {
        let mode = || if step == 2 { UpdateMode::Final } else { UpdateMode::Partial };
        let add = |batch: Batch, (id, first, second): &(String, usize, usize)| {
            batch.with(append(&thread, id, part(&whole, *first, *second), mode()))
        };
        db.batch(ids.iter().fold(Batch::new(), add)).await.unwrap();
    }
    // Write the secret through every other operation too.
    let nested = Content::from_blocks(&serde_json::json!([{"input": {"deep": [whole]}}])).unwrap();
    let mut facts = throughline::Metadata::new();
    facts.set("status", &whole).unwrap();
    let message = NewMessage::new(Role::Tool, nested).with_id("nested".parse().unwrap()).with_metadata(facts);
    let live = message.clone();
    db.run(Add::new(thread.parse().unwrap(), message.clone())).await.unwrap();
    assert_eq!(message, live, "the caller's message is unchanged");
    db.thread(thread.as_str()).edit("nested".parse().unwrap(), Content::text(&whole)).await.unwrap();
    db.thread(thread.as_str()).rename(whole.parse().unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vl_s22_no_part_of_a_split_secret_is_in_the_file_its_wal_or_a_log() {
    logged::install();
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder.path().join("chat.db")).await;
    let samples = samples();
    let writers: Vec<_> = samples
        .iter()
        .cloned()
        .enumerate()
        .map(|(number, sample)| tokio::spawn(write_split(db.clone(), number, sample)))
        .collect();
    for (writer, sample) in writers.into_iter().zip(&samples) {
        writer.await.unwrap_or_else(|error| panic!("{}: {error}", sample.rule));
    }
    let kept = files(folder.path());
    assert!(kept.iter().any(|(name, bytes)| name.ends_with("-wal") && !bytes.is_empty()), "there is a WAL");
    for (name, bytes) in kept {
        if let Some(rule) = leak(&samples, &bytes) {
            panic!("{name} holds a part of a {rule}");
        }
    }
    let logged = logged::captured();
    assert!(logged.contains("op=updateContent") || logged.contains("op=batch"), "calls are logged");
    assert_eq!(leak(&samples, logged.as_bytes()), None);
    db.close().await.unwrap();
    for (name, bytes) in files(folder.path()) {
        assert_eq!(leak(&samples, &bytes), None, "{name}");
    }
}

#[tokio::test]
async fn the_rest_of_a_secret_does_not_complete_dropped_buffered_text() {
    let layer = || RedactLayer::secrets().open_messages(2).idle(Duration::ZERO);
    for restarted in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.db");
        let open = async || {
            let backend = SqliteBackend::open(&path).await.unwrap();
            Persistence::builder().layer(layer()).backend(backend).build().unwrap()
        };
        let mut db = open().await;
        let samples: Vec<Sample> =
            samples().into_iter().filter(|sample| sample.rule != "private-key").take(40).collect();
        for part in 0..2 {
            for (number, sample) in samples.iter().enumerate() {
                let id = format!("m{number}");
                let half = sample.before.len() + sample.secret.len() / 2;
                let whole = sample.text();
                let (text, mode) = match part {
                    0 => {
                        let new = NewReservation::new(Role::Assistant).with_id(id.parse().unwrap());
                        db.run(Reserve::new("t".parse().unwrap(), new)).await.unwrap();
                        (&whole[..half], UpdateMode::Partial)
                    }
                    _ => (&whole[half..], UpdateMode::Final),
                };
                let last = || append("t", &id, text, mode.clone());
                match db.run(last()).await {
                    // The layer dropped the buffered text, so it refuses calls until the message is read.
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        assert_eq!(db.run(last()).await.unwrap_err().kind(), ErrorKind::Conflict);
                        db.thread("t").get(id.parse().unwrap()).await.unwrap();
                        drop(db.run(last()).await.unwrap());
                    }
                    answer => drop(answer.unwrap()),
                }
            }
            if restarted {
                db.close().await.unwrap();
                db = open().await;
            }
        }
        let page = db.thread("t").page(throughline::messages::PageFrom::Start, 1000).await.unwrap();
        for (message, sample) in page.messages.iter().zip(&samples) {
            let stored = message.content.plain_text(10_000);
            let long = sample
                .secret
                .as_bytes()
                .windows(12)
                .any(|part| stored.contains(std::str::from_utf8(part).unwrap()));
            assert!(!long, "{}: {stored}", sample.rule);
        }
    }
}

/// Splits a text at character boundaries.
fn split_text(text: &str, at: &[prop::sample::Index]) -> Vec<String> {
    let boundaries: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
    let mut cuts: Vec<usize> = at.iter().map(|at| *at.get(&boundaries)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| text[pair[0]..pair[1]].to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_split_text_is_stored_like_the_redacted_whole_text(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let samples = samples();
        let whole: String = picks.iter().map(|pick| pick.get(&samples).text() + " é\n").collect();
        let parts = split_text(&whole, &cuts);
        let layer = RedactLayer::secrets();
        let expected = layer.redactor().redact(&whole).expect("it holds secrets");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (stored, counted) = runtime.block_on(async {
            let counts = layer.clone();
            let backend = throughline::memory::MemoryBackend::new();
            let db = Persistence::builder().layer(layer).backend(backend).build().unwrap();
            let new = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
            db.run(Reserve::new("t".parse().unwrap(), new)).await.unwrap();
            for part in &parts {
                db.run(append("t", "m", part, UpdateMode::Partial)).await.unwrap();
            }
            db.run(append("t", "m", "", UpdateMode::Final)).await.unwrap();
            let message = db.thread("t").get("m".parse().unwrap()).await.unwrap().unwrap();
            (message.content.plain_text(1_000_000), counts.counts())
        });
        prop_assert_eq!((stored, counted), expected);
    }
}
