//! `tail`: each committed change once.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::mpsc,
};

use serde_json::Value;

use crate::{
    kit::{program, run_on, store},
    server::{Server, add},
};

/// The writers that are killed.
const KILLED: usize = 50;

#[tokio::test]
async fn tail_shows_every_change_once_while_50_writers_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let before = run_on(&path, &["doctor", "--json"]).json()["position"].as_u64().unwrap().to_string();
    let mut command = program();
    command.arg("--store").arg(&path).args(["tail", "--follow", "--json", "--after", &before]);
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let shown = BufReader::new(tail.stdout.take().unwrap());
    let mut acknowledged = Vec::new();
    for killed in 0..KILLED {
        let server = Server::start(&path);
        let address = server.address().to_owned();
        let (sender, receiver) = mpsc::channel();
        let client = std::thread::spawn(move || {
            for number in 0.. {
                let id = format!("w{killed}-{number}");
                match add(&address, None, "trip", &id, "a message") {
                    Ok(201) => drop(sender.send(id)),
                    // The writer was killed; this message is in the store or not.
                    _ => return,
                }
            }
        });
        // The process is killed while the next message is on its way.
        for _ in 0..=killed % 7 {
            acknowledged.push(receiver.recv().unwrap());
        }
        server.kill();
        client.join().unwrap();
        acknowledged.extend(receiver);
    }
    // A last change, which ends the comparison.
    let last = Server::start(&path);
    assert_eq!(last.add("trip", "the-end", "the end").unwrap(), 201);

    let mut followed: Vec<Value> = Vec::new();
    for line in shown.lines() {
        let change: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let is_last = change["kind"]["added"]["id"] == "the-end";
        followed.push(change);
        if is_last {
            break;
        }
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    let whole = run_on(&path, &["tail", "--after", &before, "--json"]);
    assert_eq!(whole.code, 0, "{whole:?}");
    assert_eq!(followed, whole.lines());
    let mut positions: Vec<u64> =
        followed.iter().map(|change| change["position"].as_u64().unwrap()).collect();
    let count = positions.len();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), count, "a position came twice");
    for id in &acknowledged {
        let times = followed.iter().filter(|change| change["kind"]["added"]["id"] == **id).count();
        assert_eq!(times, 1, "{id}");
    }
    assert!(acknowledged.len() >= KILLED, "{}", acknowledged.len());
}

#[tokio::test]
async fn tail_shows_the_text_of_a_reply_as_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let db = crate::kit::open(&path).await;
    let mut command = program();
    command.arg("--store").arg(&path).args(["tail", "t", "--follow", "--json", "--after", "0"]);
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&shown.next().unwrap().unwrap()).unwrap();
    let mut reply = db.thread("t").reserve(throughline::Role::Assistant).await.unwrap();
    assert!(next()["kind"]["reserved"].is_object());
    reply.append("Hel").await.unwrap();
    reply.flush().await.unwrap();
    let first = next();
    assert!(first["kind"]["written"].is_object(), "{first}");
    assert_eq!(first["content"], serde_json::json!({ "replaced": true, "parts": [{ "text": "Hel" }] }));
    reply.append("lo!").await.unwrap();
    reply.flush().await.unwrap();
    let second = next();
    assert_eq!(second["content"], serde_json::json!({ "replaced": false, "parts": [{ "text": "lo!" }] }));
    reply.finish().await.unwrap();
    let end = next();
    assert!(end["kind"]["finished"].is_object() && end["content"].is_null(), "{end}");
    let pid = rustix::process::Pid::from_raw(i32::try_from(tail.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(tail.wait().unwrap().code(), Some(0), "Ctrl-C is the usual end of `tail --follow`");
    db.close().await.unwrap();
}
