//! The data export of ChatGPT.

use std::{fs, io::Write as _, path::Path};

use throughline_core::{NewMessage, Role};
use throughline_transfer::{AnySource, ChatGpt, FindingKind, Format};

use crate::support::{everything, ids, store};

fn node(id: &str, parent: &str, role: &str, text: &str) -> String {
    format!(
        r#""{id}":{{"id":"{id}","parent":"{parent}","children":[],"message":{{"id":"{id}","author":{{"role":"{role}"}},"create_time":1.5,"content":{{"content_type":"text","parts":["{text}"]}}}}}}"#
    )
}

fn conversation(current: &str, nodes: &[String]) -> String {
    format!(
        r#"{{"title":"A title","create_time":1.25,"current_node":"{current}","conversation_id":"c","is_archived":true,"mapping":{{"root":{{"id":"root","parent":null,"children":["q"],"message":null}},{}}}}}"#,
        nodes.join(",")
    )
}

/// A question, two answers, and another question behind the second one.
fn forked(current: &str) -> String {
    let nodes = [
        node("q", "root", "user", "question"),
        node("a1", "q", "assistant", "first answer"),
        node("a2", "q", "assistant", "second answer"),
        node("q2", "a2", "user", "next question"),
    ];
    format!("[{}]", conversation(current, &nodes))
}

fn of(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

async fn names(db: &throughline_core::Persistence, thread: &str) -> Vec<String> {
    ids(db, thread).await.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test]
async fn the_current_path_is_the_thread_and_other_paths_are_forks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    fs::write(&path, forked("q2")).unwrap();
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::ChatGpt);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages), (2, 5));
    assert_eq!((report.skipped.len(), report.warnings.len()), (0, 0));
    assert_eq!(names(&db, "c").await, of(&["q", "a2", "q2"]));
    assert_eq!(names(&db, "c/a1").await, of(&["q", "a1"]));
    let all = everything(&db).await;
    let (thread, rows) = &all["c"];
    assert_eq!((thread.title.as_str(), thread.archived), ("A title", true));
    assert_eq!(thread.created_at.as_micros(), 1_250_000);
    assert_eq!((rows[1].role, rows[1].created_at.as_micros()), (Role::Assistant, 1_500_000));
    assert_eq!(rows[1].content.as_json(), r#"[{"type":"text","text":"second answer"}]"#);
    let point = all["c/a1"].0.forked_from.as_ref().unwrap();
    assert_eq!((point.thread.as_str(), point.message.as_str()), ("c", "q"));
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (0, 5));
}

#[tokio::test]
async fn a_later_export_continues_the_path_that_the_thread_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let source = ChatGpt::open({
        let nodes = [node("q", "root", "user", "question"), node("a1", "q", "assistant", "first answer")];
        fs::write(&path, format!("[{}]", conversation("a1", &nodes))).unwrap();
        &path
    })
    .unwrap();
    let db = store();
    assert_eq!(source.import(&db).await.unwrap().messages, 2);
    // Another answer was generated, and is the current one.
    fs::write(&path, forked("q2")).unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there), (3, 2));
    assert_eq!(names(&db, "c").await, of(&["q", "a1"]));
    assert_eq!(names(&db, "c/a2").await, of(&["q", "a2", "q2"]));
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
}

/// The conversation of [`forked`] with two next questions below the second answer, in either order.
fn forked_twice(current: &str, is_reversed: bool) -> String {
    let mut below = [node("q2", "a2", "user", "next question"), node("q3", "a2", "user", "edited question")];
    if is_reversed {
        below.reverse();
    }
    let [first, second] = below;
    let nodes = [
        node("q", "root", "user", "question"),
        node("a2", "q", "assistant", "second answer"),
        node("a1", "q", "assistant", "first answer"),
        first,
        second,
    ];
    format!("[{}]", conversation(current, &nodes))
}

#[tokio::test]
async fn a_fork_continues_the_path_that_its_thread_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let db = store();
    fs::write(&path, forked("a1")).unwrap();
    let source = ChatGpt::open(&path).unwrap();
    assert_eq!(source.import(&db).await.unwrap().messages, 5);
    assert_eq!(names(&db, "c/a2").await, of(&["q", "a2", "q2"]));
    // Later exports have another question before that of the fork, and the fork is the current path.
    for is_reversed in [true, false] {
        fs::write(&path, forked_twice("q3", is_reversed)).unwrap();
        let report = source.import(&db).await.unwrap();
        let expected = if is_reversed { (3, 5) } else { (0, 8) };
        assert_eq!((report.messages, report.already_there), expected, "{is_reversed}");
        assert_eq!(names(&db, "c").await, of(&["q", "a1"]));
        assert_eq!(names(&db, "c/a2").await, of(&["q", "a2", "q2"]));
        assert_eq!(names(&db, "c/q3").await, of(&["q", "a2", "q3"]));
    }
    assert_eq!(everything(&db).await.len(), 3);
}

#[tokio::test]
async fn a_thread_that_grew_in_the_store_keeps_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let db = store();
    fs::write(&path, forked("a1")).unwrap();
    let source = ChatGpt::open(&path).unwrap();
    source.import(&db).await.unwrap();
    // More than the page with the latest messages.
    for number in 0..60 {
        for thread in ["c", "c/a2"] {
            db.thread(thread).add(NewMessage::user(&format!("{number}"))).await.unwrap();
        }
    }
    fs::write(&path, forked_twice("q3", true)).unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there), (3, 5));
    assert_eq!(names(&db, "c").await[..2], of(&["q", "a1"]));
    assert_eq!(names(&db, "c/a2").await[..3], of(&["q", "a2", "q2"]));
    assert_eq!(names(&db, "c").await.len(), 62);
    assert_eq!(names(&db, "c/a2").await.len(), 63);
    assert_eq!(names(&db, "c/q3").await, of(&["q", "a2", "q3"]));
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_deleted_conversation_does_not_come_back_as_a_fork() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let db = store();
    let nodes = [node("q", "root", "user", "question"), node("a1", "q", "assistant", "first answer")];
    fs::write(&path, format!("[{}]", conversation("a1", &nodes))).unwrap();
    let source = ChatGpt::open(&path).unwrap();
    source.import(&db).await.unwrap();
    db.thread("c").delete_thread().await.unwrap();
    fs::write(&path, forked("q2")).unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there), (0, 0));
    assert!(report.skipped.iter().all(|found| found.kind == FindingKind::Deleted), "{:?}", report.skipped);
    assert!(everything(&db).await.is_empty());
}

fn zip(path: &Path, entries: &[(&str, &str)]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, text) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

#[tokio::test]
async fn an_archive_is_read_without_being_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    zip(
        &path,
        &[
            ("chat.html", "<html>"),
            ("conversations-001.json", &forked("q2")),
            ("../conversations.json", &forked("q2").replace(r#""c""#, r#""outside""#)),
        ],
    );
    let db = store();
    let source = AnySource::detect(&path).unwrap();
    assert_eq!(source.format(), Format::ChatGpt);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages), (2, 5));
    let skipped: Vec<_> = report.skipped.iter().map(|found| found.kind.clone()).collect();
    assert_eq!(skipped, [FindingKind::UnsafePath("../conversations.json".to_owned())]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_zip_bomb_is_bounded_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.zip");
    let bomb = format!(
        r#"[{{"mapping":{{"n":"{}"}}}},{}]"#,
        "x".repeat(80 << 20),
        &forked("q2")[1..forked("q2").len() - 1]
    );
    zip(&path, &[("conversations.json", &bomb)]);
    assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
    let source = ChatGpt::open(&path).unwrap().with_max_record_bytes(1 << 20);
    let report = source.import(&store()).await.unwrap();
    assert_eq!(report.messages, 5);
    assert_eq!(report.skipped[0].kind, FindingKind::TooLarge { max: 1 << 20 });
}

#[tokio::test]
async fn an_export_that_is_cut_off_anywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    let text = forked("q2");
    for end in 0..text.len() {
        fs::write(&path, &text[..end]).unwrap();
        let report = ChatGpt::open(&path).unwrap().plan().await.unwrap();
        assert_eq!(report.skipped.len(), 1, "{end}");
        assert_eq!(report.skipped[0].kind, FindingKind::Torn, "{end}");
    }
    zip(&path, &[("conversations.json", &text)]);
    let whole = fs::read(&path).unwrap();
    for end in 4..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let report = ChatGpt::open(&path).unwrap().plan().await.unwrap();
        assert_eq!((report.messages, report.skipped.len()), (0, 1), "{end}");
    }
}

#[tokio::test]
async fn hostile_trees_end_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let circle = [node("q", "a", "user", "1"), node("a", "q", "assistant", "2")];
    let odd = [
        r#""n":{"id":"n","parent":"root","message":{"author":{"role":"narrator"},"content":{}}}"#.to_owned(),
        r#""m":7"#.to_owned(),
        node(&"x".repeat(300), "root", "user", "long id"),
    ];
    let text = format!(
        "[{},{},{},{}]",
        conversation("q", &circle),
        conversation("n", &odd).replace(r#""c""#, r#""odd""#),
        r#"{"conversation_id":"e","mapping":[]}"#,
        r#"{"mapping":{}}"#
    );
    fs::write(&path, text).unwrap();
    let db = store();
    let report = ChatGpt::open(&path).unwrap().import(&db).await.unwrap();
    let kinds: Vec<_> = report.skipped.iter().map(|found| found.kind.name()).collect();
    assert_eq!(kinds, ["circle", "wrong-field", "invalid-id", "wrong-field", "no-field"]);
    assert_eq!(report.warnings[0].kind, FindingKind::UnknownRole("narrator".to_owned()));
    assert_eq!(names(&db, "odd").await, of(&["n"]));
}
