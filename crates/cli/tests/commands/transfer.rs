//! `import`, `export` and `audit`.

use std::fs;

use throughline::{
    NewMessage, Persistence,
    layers::audit::{AuditKey, AuditLayer},
    sqlite::SqliteBackend,
};

use crate::kit::{files, run_on, store};

#[tokio::test]
async fn an_export_is_imported_again_and_a_second_import_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, chats) = (folder.path().join("chat.db"), folder.path().join("chats"));
    store(&path).await;
    let chats = chats.to_str().unwrap();
    let exported = run_on(&path, &["export", "chat-folder", chats, "--json"]);
    // The open reply is not exported, and named.
    let exported = exported.json();
    assert_eq!((&exported["threads"], &exported["messages"]), (&2.into(), &3.into()));

    let new = folder.path().join("new.db");
    let plan = run_on(&new, &["import", "auto", chats, "--dry-run", "--json"]).json();
    assert_eq!((&plan["dryRun"], &plan["sources"][0]["messages"]), (&true.into(), &3.into()));
    assert!(!new.exists());
    let imported = run_on(&new, &["import", "auto", chats, "--json"]).json();
    assert_eq!(
        (&imported["sources"][0]["format"], &imported["sources"][0]["messages"]),
        (&"chat-folder".into(), &3.into())
    );
    let again = run_on(&new, &["import", "chat-folder", chats, "--json"]).json();
    assert_eq!(
        (&again["sources"][0]["messages"], &again["sources"][0]["alreadyThere"]),
        (&0.into(), &3.into())
    );
    let titles = |path| run_on(path, &["threads", "--json"]).json()["threads"].as_array().unwrap().len();
    assert_eq!(titles(&new), titles(&path));

    let unknown = folder.path().join("unknown.bin");
    fs::write(&unknown, [0; 100]).unwrap();
    let refused = run_on(&new, &["import", "auto", unknown.to_str().unwrap()]);
    assert_eq!(refused.code, 1, "{refused:?}");
}

#[tokio::test]
async fn the_audit_log_is_shown_anchored_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let key = folder.path().join("key");
    fs::write(&key, "07".repeat(32)).unwrap();
    let backend = SqliteBackend::open(&path).await.unwrap();
    let layer = AuditLayer::new(AuditKey::new(&[7; 32]));
    let db = Persistence::builder().layer(layer).backend(backend).build().unwrap();
    for number in 0..3 {
        db.with_actor("alice").thread("t").add(NewMessage::user(&format!("{number}"))).await.unwrap();
    }
    db.close().await.unwrap();
    let before = files(folder.path());
    let log = run_on(&path, &["audit", "log"]);
    assert_eq!(log.code, 0, "{log:?}");
    assert_eq!(log.out.matches("alice: applied").count(), 3, "{log:?}");
    let keyed = ["--key-file", key.to_str().unwrap()];
    let anchor = run_on(&path, &[&["audit", "anchor"], &keyed[..]].concat());
    assert_eq!(anchor.code, 0, "{anchor:?}");
    assert_eq!(files(folder.path()), before);
    let document = run_on(&path, &[&["audit", "anchor", "--json"], &keyed[..]].concat());
    assert_eq!(document.json()["command"], "audit anchor");
    let anchors = folder.path().join("anchors");
    fs::write(&anchors, anchor.out + &document.out).unwrap();
    let anchors = ["--anchors", anchors.to_str().unwrap()];
    let verified = run_on(&path, &[&["audit", "verify", "--json"], &keyed[..], &anchors].concat());
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(
        (&verified.json()["isIntact"], &verified.json()["report"]["anchored"]),
        (&true.into(), &3.into())
    );
    fs::write(&key, "08".repeat(32)).unwrap();
    let other = run_on(&path, &[&["audit", "verify"], &keyed[..]].concat());
    assert_eq!(other.code, 3, "another key proves nothing: {other:?}");
}
