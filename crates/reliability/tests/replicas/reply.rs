//! REL-40: servers and connections end while a reply is written and read.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use throughline_postgres_cluster::{Cluster, Installation};
use throughline_reliability::{Report, scaled, skipped};
use tokio::sync::Semaphore;

use crate::{
    processes::Replicas,
    reader::Reader,
    request::{get, post},
    writer::{WINDOW, Writer, Written, text},
};

const CUTS: u64 = 50;
/// The number of connections that are cut for each server that is killed.
const CUTS_FOR_KILL: usize = 5;
/// The bytes of an append.
const APPEND: usize = 32;
/// The longest distance between a byte of content and the cut behind it, in bytes on the wire: more than one event.
const FURTHER: usize = 400;
/// The bytes of an event around its content: its fields, the ids and the names of the members.
const EVENT: usize = 256;
/// The bytes of the begin of a stream.
const OPENING: usize = 128;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_40_reader_has_each_byte_once_although_servers_are_killed_and_connections_are_cut() {
    let mut report = Report::new("REL-40");
    let Some(installation) = Installation::find() else {
        skipped("REL-40: replicas of the HTTP interface", "PostgreSQL 15 or newer is not installed");
        return;
    };
    let mut random = report.random();
    let cluster = Cluster::start(&installation).unwrap();
    let replicas = Replicas::start(cluster.url("postgres")).await;
    let addresses = replicas.addresses();
    let reserved = post(addresses.find(0).1, "/v1/threads/t/drafts", &json!({"id": "d"})).await.unwrap();
    assert_eq!(reserved.0, 201, "{}", reserved.2);

    let cuts = usize::try_from(scaled(CUTS).max(CUTS)).unwrap();
    let appends = cuts * WINDOW;
    // One kill within each group of windows.
    let group = CUTS_FOR_KILL * WINDOW;
    let killed_at: Vec<_> = (0..appends / group).map(|n| n * group + random.usize(1..=group)).collect();
    let permits = Arc::new(Semaphore::new(0));
    let writer = Writer {
        replicas,
        random: random.fork(),
        appends,
        killed_at,
        permits: Arc::clone(&permits),
        written: Written::default(),
        replica: 0,
        took: Duration::ZERO,
    };
    let writing = tokio::spawn(writer.run());
    let mut reader = Reader::new(addresses.clone(), random.fork());
    for cut in 0..cuts {
        permits.add_permits(WINDOW);
        let (before, content) = (cut * WINDOW * APPEND, (cut + 1) * WINDOW * APPEND);
        reader.read(random.usize(before + 1..=content), random.usize(..FURTHER), content).await;
    }
    reader.read(usize::MAX, 0, usize::MAX).await;
    let (_replicas, Written { kills, lost, replayed }) = writing.await.unwrap();

    let expected: String = (1..=appends).map(text).collect();
    assert_eq!(expected.len(), appends * APPEND);
    assert!(reader.shown == expected, "the reader has another text: {:?}", reader.shown);
    let (_, _, message) = get(addresses.find(0).1, "/v1/threads/t/messages/d").await.unwrap();
    assert_eq!(message["content"], json!([{"type": "text", "text": expected}]));
    // The reservation, each append and the end are one revision each.
    assert_eq!((&message["revision"], &message["state"]), (&(appends + 2).into(), &"final".into()));
    assert!(kills >= 10 && cuts >= 50, "{kills} kills, {cuts} cuts");
    let most = expected.len() * 13 / 10 + reader.events * EVENT + reader.connections * OPENING;
    assert!(reader.wire <= most, "{} bytes on the wire, and {most} are permitted", reader.wire);

    report.fired("kill -9 of a server", kills);
    report.fired("connection cut", cuts as u64);
    report.fired("connection cut within an event", reader.cut_within_event);
    report.count("appends", appends);
    report.count("appends without an answer", lost);
    report.count("appends that were applied before their repetition", replayed);
    report.count("connections lost with their server", reader.lost);
    report.count("connections", reader.connections);
    report.count("events", reader.events);
    report.count("bytes on the wire", reader.wire);
    report.finish();
}
