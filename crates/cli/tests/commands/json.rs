//! `--json`: one document with a version on each line, of every command that prints.

use std::fs;

use throughline::{
    IndexedMetadata, NewMessage, Persistence,
    layers::audit::{AuditKey, AuditLayer},
    sqlite::SqliteOptions,
};

use crate::kit::{Ran, program, store};

/// The arguments, the `command` of the documents, and the exit code.
const COMMANDS: &[(&[&str], &str, i32)] = &[
    (&["threads"], "threads", 0),
    (&["show", "trip"], "show", 0),
    (&["search", "lisbon"], "search", 0),
    (&["tail", "trip"], "tail", 0),
    (&["tail", "--after", "0"], "tail", 0),
    (&["doctor"], "doctor", 0),
    (&["verify"], "verify", 0),
    (&["stats"], "stats", 0),
    (&["repair"], "repair", 0),
    (&["repair", "--apply"], "repair", 0),
    (&["repair", "--rebuild-into", "rebuilt.db", "--apply"], "repair", 0),
    (&["backup", "copy.db", "--prove"], "backup", 0),
    (&["--store", "restored.db", "restore", "copy.db"], "restore", 0),
    (&["export", "ndjson", "chats.ndjson"], "export", 0),
    (&["export", "markdown", "chats.md"], "export", 0),
    (&["export", "sharegpt", "chats.jsonl"], "export", 3),
    (&["export", "chat-folder", "chats"], "export", 3),
    (&["--store", "new.db", "import", "auto", "chats.ndjson"], "import", 3),
    (&["retain", "--keep", "1"], "retain", 0),
    (&["retain", "--keep", "1", "--apply"], "retain", 0),
    (&["purge", "--all-tenants"], "purge", 0),
    (&["purge", "--apply"], "purge", 0),
    (&["compact"], "compact", 0),
    (&["compact", "--into", "compacted.db"], "compact", 0),
    (&["move", "follow", "--to", "moved.db", "--until-equal"], "move follow", 0),
    (&["move", "status", "--to", "moved.db"], "move status", 0),
    (&["move", "compare", "--to", "moved.db"], "move compare", 0),
    (&["move", "switch", "--to", "moved.db"], "move switch", 0),
    (&["move", "back", "--to", "moved.db"], "move back", 0),
    (&["--store", "audited.db", "find", "orderId=A-17"], "find", 0),
    (&["--store", "audited.db", "audit", "log"], "audit log", 0),
    (&["--store", "audited.db", "audit", "anchor", "--key-file", "key"], "audit anchor", 0),
    (&["--store", "audited.db", "audit", "verify", "--key-file", "key"], "audit verify", 0),
    (&["token", "add", "laptop", "--file", "tokens"], "token add", 0),
    (&["token", "list", "--file", "tokens"], "token list", 0),
    (&["token", "revoke", "laptop", "--file", "tokens"], "token revoke", 0),
    (&["new", "layer", "my-layer"], "new", 0),
    (&["completions", "bash"], "completions", 0),
    (&["man", "token", "add"], "man", 0),
];

#[tokio::test]
async fn every_command_prints_documents_with_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    fs::write(folder.path().join("key"), "07".repeat(32)).unwrap();
    let options = SqliteOptions::new().index_metadata(IndexedMetadata::new(["orderId"]).unwrap());
    let backend = options.open(folder.path().join("audited.db")).await.unwrap();
    let layer = AuditLayer::new(AuditKey::new(&[7; 32]));
    let db = Persistence::builder().layer(layer).backend(backend).build().unwrap();
    db.thread("trip").add(NewMessage::user("audited")).await.unwrap();
    db.close().await.unwrap();
    for (arguments, name, code) in COMMANDS {
        let mut command = program();
        command.current_dir(folder.path()).env("THROUGHLINE_STORE", "chat.db").arg("--json").args(*arguments);
        let ran = Ran::from(command.output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (*code, ""), "{arguments:?}: {ran:?}");
        let documents = ran.lines();
        assert!(!documents.is_empty(), "{arguments:?}");
        for document in documents {
            assert_eq!((&document["version"], &document["command"]), (&1.into(), &(*name).into()), "{ran:?}");
        }
    }
}
