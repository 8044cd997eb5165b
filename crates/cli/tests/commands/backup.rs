//! `backup` and `restore`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use throughline::{
    Content, NewMessage, Persistence, Position, Role,
    changes::{ChangeScope, ReadChanges},
    sqlite::{SqliteOptions, SqliteReader},
};
use tokio::sync::Semaphore;

use crate::kit::{files, open, program, run_on, store};

/// The changes of a store up to a position, as JSON.
async fn changes(db: &Persistence, through: Position) -> Vec<String> {
    let (mut all, mut after) = (Vec::new(), Position::ZERO);
    loop {
        let read = db.read(ReadChanges::new(ChangeScope::Store, after, 1000)).await.unwrap();
        let within = read.changes.iter().filter(|change| change.position <= through);
        all.extend(within.map(|change| serde_json::to_string(change).unwrap()));
        if !read.more || read.position >= through {
            return all;
        }
        after = read.position;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proven_backup_next_to_64_writers_is_equal_at_one_position() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("chat.db"), folder.path().join("copy.db"));
    let db = open(&path).await;
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(Semaphore::new(0));
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let (thread, stop, written) =
                (db.thread(format!("t-{writer}")), Arc::clone(&stop), Arc::clone(&written));
            tokio::spawn(async move {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    thread.add(NewMessage::user(&format!("{writer}: {number}"))).await.unwrap();
                    number += 1;
                    written.add_permits(1);
                }
            })
        })
        .collect();
    // Every writer is at work before the backup begins.
    drop(written.acquire_many(640).await.unwrap());
    let backup = {
        let (path, copy) = (path.clone(), copy.clone());
        let run = move || {
            program().arg("--store").arg(path).arg("backup").arg(copy).args(["--prove", "--json"]).output()
        };
        tokio::task::spawn_blocking(run).await.unwrap().unwrap()
    };
    // Writes that came after the copy.
    drop(written.acquire_many(64).await.unwrap());
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let backup = crate::kit::Ran::from(backup);
    assert_eq!(backup.code, 0, "{backup:?}");
    let proof = &backup.json()["proof"];
    assert_eq!(proof["verification"]["sound"], true);
    let position = Position::new(proof["position"].as_u64().unwrap());
    assert!(position.get() >= 640, "{position}");
    assert!(proof["equalRows"].as_u64().unwrap() >= 640 * 2, "{proof}");

    let copied = Persistence::builder().backend(SqliteReader::open(&copy).await.unwrap()).build().unwrap();
    let of_copy = changes(&copied, position).await;
    assert_eq!(of_copy, changes(&db, position).await);
    assert_eq!(of_copy.len() as u64, position.get());
    copied.close().await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_backup_is_restored_to_a_new_path_and_never_over_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("chat.db"), folder.path().join("copy.db"));
    store(&path).await;
    let backup = run_on(&path, &["backup", copy.to_str().unwrap()]);
    assert_eq!(backup.code, 0, "{backup:?}");
    let before = files(folder.path());
    let refused = run_on(&path, &["backup", copy.to_str().unwrap()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let refused = run_on(&path, &["restore", copy.to_str().unwrap()]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("exists already"), "{refused:?}");
    assert_eq!(files(folder.path()), before);

    let new = folder.path().join("restored.db");
    let restored = run_on(&new, &["restore", copy.to_str().unwrap(), "--json"]);
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(restored.json()["proof"]["verification"]["sound"], true);
    let listed = |path| run_on(path, &["show", "trip", "--json"]).json();
    assert_eq!(listed(&new), listed(&path));
}

#[tokio::test]
async fn a_backup_and_its_restored_store_have_the_contents_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let backend = SqliteOptions::new().blobs_above(1000).open(at("chat.db")).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let long = Content::text(&"many words ".repeat(2000));
    let length = long.byte_len();
    db.thread("t").add(NewMessage::new(Role::User, long)).await.unwrap();
    db.thread("t").add(NewMessage::user("short")).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(run_on(&at("chat.db"), &["stats", "--json"]).json()["blobBytes"], length);
    let copy = at("copy.db").into_os_string().into_string().unwrap();
    assert_eq!(run_on(&at("chat.db"), &["backup", &copy, "--prove"]).code, 0);
    assert_eq!(run_on(&at("restored.db"), &["restore", &copy]).code, 0);
    let verified = run_on(&at("restored.db"), &["verify", "--json"]).json();
    assert_eq!((&verified["checked"]["blobs"], &verified["checked"]["orphans"]), (&1.into(), &0.into()));
    let shown = |store: &str| run_on(&at(store), &["show", "t", "--json"]).json()["messages"].clone();
    assert_eq!(shown("restored.db"), shown("chat.db"));

    // A store without its folder.
    std::fs::rename(at("restored.db"), at("moved.db")).unwrap();
    let verified = run_on(&at("moved.db"), &["verify", "--json"]);
    let reason = verified.json()["damaged"][0]["reason"].as_str().unwrap().to_owned();
    assert_eq!(verified.code, 3);
    assert!(reason.ends_with("is missing"), "{reason}");
    std::fs::rename(at("restored.db-blobs"), at("moved.db-blobs")).unwrap();
    assert_eq!(run_on(&at("moved.db"), &["verify"]).code, 0);
}
