//! A copy of the file must not confirm guesses about redacted text.

use std::{fs, path::Path};

use throughline::{
    ErrorKind, IdempotencyKey, NewMessage, Persistence, layers::redact::RedactLayer, messages::Add,
    sqlite::SqliteBackend,
};

async fn open(path: &Path) -> Persistence {
    let backend = SqliteBackend::open(path).await.unwrap();
    Persistence::builder().layer(RedactLayer::secrets()).backend(backend).build().unwrap()
}

/// Repeats the call with another code; the store keeps a marker instead of the code.
async fn add_code(db: &Persistence, code: &str) -> throughline::Result<throughline::messages::Added> {
    let key: IdempotencyKey = "event-1".parse().unwrap();
    let id = "m".parse().unwrap();
    let add = Add::new("t".parse().unwrap(), NewMessage::user(&format!("password=hunter{code}")).with_id(id));
    db.run(add).key(key).await
}

#[tokio::test]
async fn a_copy_of_the_file_confirms_no_guess_about_redacted_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.db");
    let db = open(&path).await;
    let stored = add_code(&db, "4821").await.unwrap().message.content.plain_text(100);
    assert!(stored.starts_with("password=[redacted:assignment#"), "{stored}");
    db.close().await.unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("chat.db");
    fs::copy(&path, &copy).unwrap();
    let attacked = open(&copy).await;
    for guess in ["4820", "4821", "4822"] {
        let answer = add_code(&attacked, guess).await.unwrap_err();
        assert_eq!(answer.kind(), ErrorKind::Conflict, "{guess} is answered like every other guess");
    }
    attacked.close().await.unwrap();

    let db = open(&path).await;
    assert!(add_code(&db, "4821").await.unwrap().deduplicated, "the store recognizes its own call");
    assert_eq!(add_code(&db, "4820").await.unwrap_err().kind(), ErrorKind::Conflict);
    db.close().await.unwrap();
}

#[tokio::test]
async fn fingerprints_differ_between_stores_unless_the_host_sets_a_secret() {
    use throughline::Backend as _;

    let folder = tempfile::tempdir().unwrap();
    let first = SqliteBackend::open(folder.path().join("a.db")).await.unwrap();
    let second = SqliteBackend::open(folder.path().join("b.db")).await.unwrap();
    assert!(first.fingerprint_key().unwrap() != second.fingerprint_key().unwrap());
    let copy = folder.path().join("c.db");
    for (path, is_same) in [(folder.path().join("a.db"), false), (copy.clone(), true)] {
        if is_same {
            fs::copy(folder.path().join("a.db"), &copy).unwrap();
        }
        let backend = SqliteBackend::open(&path).await.unwrap();
        let db = Persistence::builder().fingerprint_secret(b"of the host").backend(backend).build().unwrap();
        assert_eq!(add_code(&db, "4821").await.unwrap().deduplicated, is_same);
        db.close().await.unwrap();
    }
}
