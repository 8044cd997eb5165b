//! A store that cannot be opened: the error names the reason and the next step, and nothing is changed.

use std::{fs, path::Path};

use crate::kit::{files, program, run_on, store};

/// Commands that read, and commands that write.
const COMMANDS: &[&[&str]] =
    &[&["threads"], &["doctor"], &["verify"], &["retain", "--keep", "1", "--apply"], &["repair", "--apply"]];

fn every_command_refuses(path: &Path, reason: &str) {
    for arguments in COMMANDS {
        let ran = run_on(path, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(reason) && ran.err.contains("\nhelp: "), "{arguments:?}: {ran:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_store_of_this_version_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let other = rusqlite::Connection::open(at("other.db")).unwrap();
    other.execute_batch("CREATE TABLE letters (text)").unwrap();
    drop(other);
    fs::write(at("text.db"), "Dear diary").unwrap();
    fs::write(at("empty.db"), "").unwrap();
    store(&at("newer.db")).await;
    let newer = rusqlite::Connection::open(at("newer.db")).unwrap();
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(newer);
    let before = files(folder.path());
    for (name, reason) in [
        ("other.db", "is not a Throughline store"),
        ("text.db", "it is not an SQLite database"),
        ("empty.db", "it is an empty file"),
        ("newer.db", "has schema 99"),
    ] {
        every_command_refuses(&at(name), reason);
    }
    assert_eq!(files(folder.path()), before);
    fs::create_dir(at("folder")).unwrap();
    every_command_refuses(&at("folder"), "it is not a file");
}

/// Runs the program as a user without rights. `None` and a notice if that user cannot run it.
#[cfg(unix)]
#[allow(clippy::print_stdout, reason = "a skip must be visible")]
fn run_without_rights(store: &Path, arguments: &[&str]) -> Option<crate::kit::Ran> {
    use std::os::unix::process::CommandExt as _;
    const WITHOUT_RIGHTS: u32 = 65_534;
    let mut command = program();
    command.arg("--store").arg(store).args(arguments);
    if rustix::process::geteuid().is_root() {
        command.uid(WITHOUT_RIGHTS).gid(WITHOUT_RIGHTS).current_dir("/");
    }
    match command.output() {
        Ok(output) => Some(output.into()),
        Err(error) => {
            println!("SKIPPED: a store without rights (another user cannot run the program: {error})");
            None
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_store_without_rights_exits_with_1_and_names_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&path, 0o000);
    set(folder.path(), 0o555);
    for arguments in COMMANDS {
        let Some(ran) = run_without_rights(&path, arguments) else { return };
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        let reason = format!("this user may not read `{}`", path.display());
        assert!(ran.err.contains(&reason) && ran.err.contains("\nhelp: "), "{arguments:?}: {ran:?}");
    }
    set(&path, 0o444);
    let read = run_without_rights(&path, &["threads"]).unwrap();
    assert_eq!(read.code, 0, "{read:?}");
    let denied = run_without_rights(&path, &["retain", "--keep", "1", "--apply", "--json"]).unwrap();
    assert_eq!(denied.code, 1, "{denied:?}");
    let error: serde_json::Value = serde_json::from_str(&denied.err).unwrap();
    let text = format!("the store was not opened: this user may not write `{}`", path.display());
    assert_eq!((&error["error"]["code"], &error["error"]["message"]), (&"denied".into(), &text.into()));
    let copy = folder.path().join("copy.db");
    let denied = run_without_rights(&path, &["backup", copy.to_str().unwrap()]).unwrap();
    assert!(denied.code == 1 && denied.err.contains("Permission denied"), "{denied:?}");
    set(folder.path(), 0o755);
}

#[cfg(unix)]
#[test]
fn files_and_folders_without_rights_are_named_with_their_cause() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let line = r#"{"type":"user","uuid":"u","sessionId":"s","message":{"role":"user","content":"hello"}}"#;
    fs::write(at("a.jsonl"), line).unwrap();
    fs::write(at("b.jsonl"), line).unwrap();
    set(&at("b.jsonl"), 0o000);
    set(folder.path(), 0o755);
    let import = |format: &str| {
        let arguments = ["import", format, folder.path().to_str().unwrap(), "--dry-run", "--json"];
        run_without_rights(&at("chat.db"), &arguments)
    };
    let Some(ran) = import("claude-code") else { return };
    assert_eq!(ran.code, 3, "{ran:?}");
    let source = &ran.json()["sources"][0];
    let left_out = format!("{}: it cannot be read: Permission denied (os error 13)", at("b.jsonl").display());
    assert_eq!((&source["messages"], &source["skipped"]), (&1.into(), &serde_json::json!([left_out])));
    set(folder.path(), 0o000);
    let ran = import("auto").unwrap();
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    let text = format!("`{}` could not be read: Permission denied (os error 13)", folder.path().display());
    assert_eq!((ran.code, &error["error"]["message"]), (1, &text.into()));
    set(folder.path(), 0o755);
}

#[tokio::test]
async fn a_wal_without_its_index_is_read_after_a_repair() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    store(&path).await;
    let server = crate::server::Server::start(&path);
    assert_eq!(server.add("trip", "late", "in the WAL only").unwrap(), 201);
    server.kill();
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let imported = folder.path().join("imported");
    fs::create_dir(&imported).unwrap();
    for (name, to) in
        ["chat.db", "chat.db-wal"].into_iter().flat_map(|name| [(name, &copy), (name, &imported)])
    {
        fs::copy(folder.path().join(name), to.join(name)).unwrap();
    }
    let (path, before) = (copy.join("chat.db"), files(&copy));
    for arguments in [&["threads"][..], &["repair"]] {
        let ran = run_on(&path, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{arguments:?}: {ran:?}");
        assert!(
            ran.err.ends_with("help: `throughline repair --apply` opens it once for writing\n"),
            "{ran:?}"
        );
    }
    assert_eq!(files(&copy), before);
    let repaired = run_on(&path, &["repair", "--apply"]);
    assert_eq!(repaired.code, 0, "{repaired:?}");
    let shown = run_on(&path, &["show", "trip", "--json"]).json();
    let ids: Vec<_> = shown["messages"].as_array().unwrap().iter().map(|message| &message["id"]).collect();
    assert!(ids.contains(&&"late".into()), "{shown}");
    // A command that writes opens it too, and keeps its index.
    let chats = folder.path().join("chats.jsonl");
    fs::write(&chats, r#"{"id":"c","conversations":[{"from":"human","value":"aardvark"}]}"#).unwrap();
    let path = imported.join("chat.db");
    let ran = run_on(&path, &["import", "sharegpt", chats.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let found = run_on(&path, &["search", "aardvark", "--json"]).json();
    assert_eq!(found["hits"].as_array().map(Vec::len), Some(1), "{found}");
}
