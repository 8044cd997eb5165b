//! Exit codes, and the text of failures.

use std::path::Path;

use crate::kit::{run, run_on, store};

#[test]
fn bad_arguments_exit_with_2() {
    for arguments in [
        &[][..],
        &["fly"],
        &["threads", "--limit", "0"],
        &["threads", "--label", "x", "--store", "x.db"],
        &["find", "orderId", "--store", "x.db"],
        &["find", "turn:=1.5", "--store", "x.db"],
        &["find", "orderId=A-17", "--after", "A-17", "--store", "x.db"],
        &["serve", "--index-metadata", "throughline.x", "--store", "x.db"],
        &["show"],
        &["show", ""],
        &["retain", "--store", "x.db"],
        &["retain", "--older", "soon"],
        &["tail", "--store", "x.db"],
        &["import", "carrier-pigeon", "x"],
        &["threads"],
        &["threads", "--store", "mysql://x"],
        &["threads", "--tenant", ""],
        &["compact", "--store", "postgres://db.example/app"],
        &["repair", "--dry-run", "--apply"],
        &["token", "add", "a"],
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert_eq!(ran.out, "", "{arguments:?}");
        assert!(!ran.err.is_empty());
    }
}

#[test]
fn bad_arguments_are_a_json_document_with_json() {
    for (arguments, message) in [
        (
            &["threads", "--limit", "0", "--json"][..],
            "invalid value '0' for '--limit <LIMIT>': 0 is not in 1..=1000",
        ),
        (&["show", "--json"], "the following required arguments were not provided: <THREAD>"),
        (&["--json", "threads"], "no store is named"),
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
        let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["version"], 1);
        assert_eq!(
            (&error["error"]["code"], &error["error"]["message"]),
            (&"usage".into(), &message.into()),
            "{error}"
        );
    }
    // Behind `--` it is an argument.
    let ran = run(&["show", "--", "a", "--json"]);
    assert!(ran.code == 2 && ran.err.starts_with("error: "), "{ran:?}");
    let help = run(&["--json", "--help"]);
    assert!(help.code == 0 && help.out.contains("Usage: "), "{help:?}");
}

#[test]
fn a_store_that_is_not_there_is_named_and_not_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.db");
    for arguments in [
        &["threads"][..],
        &["verify"],
        &["purge", "--apply"],
        &["retain", "--keep", "1", "--apply"],
        &["repair", "--apply"],
    ] {
        let ran = run_on(&path, arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains("missing.db") && ran.err.contains("help: "), "{ran:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
    let json = run_on(&path, &["threads", "--json"]);
    let reported: serde_json::Value = serde_json::from_str(json.err.trim()).unwrap();
    assert_eq!((&reported["version"], &reported["error"]["code"]), (&1.into(), &"not_found".into()));
    assert_eq!(json.out, "");
}

#[tokio::test]
async fn a_locked_store_exits_with_4() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let other = rusqlite::Connection::open(&path).unwrap();
    // As a program that holds a lock of its own on the file.
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE held (x)").unwrap();
    let chats = folder.path().join("chats");
    std::fs::create_dir(&chats).unwrap();
    let ran = run_on(&path, &["import", "chat-folder", chats.to_str().unwrap()]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.err.contains("locked"), "{ran:?}");
}

#[test]
fn a_server_that_cannot_be_reached_exits_with_4_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let chats = folder.path().to_str().unwrap();
    // Port 1 of this machine, where nothing listens.
    let store = Path::new("postgres://app:s3cret@127.0.0.1:1/app");
    let ran = run_on(store, &["import", "chat-folder", chats]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(!ran.err.contains("s3cret") && !ran.out.contains("s3cret"), "{ran:?}");
}

#[test]
fn the_environment_names_the_store_and_is_not_shown() {
    let mut command = crate::kit::program();
    let help = command.env("THROUGHLINE_STORE", "postgres://app:s3cret@db/app").args(["threads", "--help"]);
    let help = String::from_utf8(help.output().unwrap().stdout).unwrap();
    assert!(help.contains("THROUGHLINE_STORE") && !help.contains("s3cret"), "{help}");
}

#[test]
fn new_makes_a_crate_in_a_new_folder_only() {
    let folder = tempfile::tempdir().unwrap();
    let new = |kind: &str, name: &str| {
        let ran =
            crate::kit::program().current_dir(folder.path()).args(["new", kind, name]).output().unwrap();
        crate::kit::Ran::from(ran)
    };
    assert_eq!(new("layer", "my-layer").code, 0);
    assert_eq!(new("backend", "my-backend").code, 0);
    for (name, files) in
        [("my-layer", &["main.rs", "layer.rs", "tests.rs"][..]), ("my-backend", &["main.rs"])]
    {
        let manifest = std::fs::read_to_string(folder.path().join(name).join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{manifest}");
        assert!(manifest.contains("path = \"../../throughline\""), "{manifest}");
        for file in files {
            assert!(folder.path().join(name).join(file).exists(), "{name}/{file}");
        }
    }
    let again = new("layer", "my-layer");
    assert_eq!(again.code, 1, "{again:?}");
    assert_eq!(new("layer", "../up").code, 2);
}

#[test]
fn completions_and_man_pages_are_printed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = run(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("throughline"), "{shell}: {ran:?}");
    }
    let page = run(&["man"]);
    assert!(page.code == 0 && page.out.contains(".TH throughline 1"), "{page:?}");
    let page = run(&["man", "audit", "verify"]);
    assert!(page.code == 0 && page.out.contains("anchors"), "{page:?}");
    assert_eq!(run(&["man", "fly"]).code, 2);
}
