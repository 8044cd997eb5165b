//! The named checks of a stack with the redact layer.

use std::{future::Future, pin::Pin};

use throughline::{
    Content, Delta, ErrorKind, IdempotencyKey, Message, MessageState, MetadataPatch, NewMessage,
    NewReservation, Persistence, Revision, Role,
    messages::{Add, Batch, ContentChange, PageFrom, Update, UpdateContent, UpdateMode, Visibility},
};

pub(crate) type Check = fn(Persistence) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Every check with its name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("split", |db| Box::pin(split(db))),
    ("batch", |db| Box::pin(batch(db))),
    ("edit", |db| Box::pin(edit(db))),
    ("metadata", |db| Box::pin(metadata(db))),
    ("replay", |db| Box::pin(replay(db))),
    ("refused", |db| Box::pin(refused(db))),
    ("blocks", |db| Box::pin(blocks(db))),
    ("narrow", |db| Box::pin(narrow(db))),
];

pub(crate) fn secret() -> String {
    format!("{}{}", "ghp_", "a1B2c3D4e5F6".repeat(3))
}

pub(crate) fn append(id: &str, text: &str, mode: UpdateMode) -> UpdateContent {
    let change = ContentChange::Append(Delta::text(text));
    UpdateContent::new("t".parse().unwrap(), id.parse().unwrap(), change, mode)
}

pub(crate) async fn reserve(db: &Persistence, id: &str) {
    let new = NewReservation::new(Role::Assistant).with_id(id.parse().unwrap());
    db.run(throughline::messages::Reserve::new("t".parse().unwrap(), new)).await.unwrap();
}

async fn all(db: &Persistence) -> Vec<Message> {
    db.thread("t").page_showing(PageFrom::Start, 1000, Visibility::All).await.unwrap().messages
}

async fn text(db: &Persistence, id: &str) -> String {
    let message = db.thread("t").get(id.parse().unwrap()).await.unwrap().unwrap();
    message.content.plain_text(100_000)
}

/// Checks that no part of the secret is stored, and that a marker is.
async fn assert_redacted(db: &Persistence) {
    let stored = serde_json::to_string(&all(db).await).unwrap();
    let secret = secret();
    for part in secret.as_bytes().windows(8) {
        assert!(!stored.contains(std::str::from_utf8(part).unwrap()), "a part of it is stored");
    }
    assert!(stored.contains("[redacted:github-token#"), "no marker is stored");
}

/// A secret that is split over two or three appends is not stored; the text around it is.
async fn split(db: Persistence) {
    let whole = format!("before {} after", secret());
    for cut in 0..=whole.len() {
        let id = format!("m{cut}");
        reserve(&db, &id).await;
        let middle = cut / 2;
        for part in [&whole[..middle], &whole[middle..cut], &whole[cut..]] {
            db.run(append(&id, part, UpdateMode::Partial)).await.unwrap();
        }
        db.run(append(&id, "", UpdateMode::Final)).await.unwrap();
        let stored = text(&db, &id).await;
        assert!(stored.starts_with("before [") && stored.ends_with("] after"), "{stored}");
    }
    assert_redacted(&db).await;
}

async fn batch(db: Persistence) {
    let secret = secret();
    let reservation = NewReservation::new(Role::Assistant).with_id("b".parse().unwrap());
    let batch = Batch::new()
        .with(Add::new("t".parse().unwrap(), NewMessage::user(&secret).with_id("a".parse().unwrap())))
        .with(throughline::messages::Reserve::new("t".parse().unwrap(), reservation))
        .with(append("b", &format!("x {}", &secret[..9]), UpdateMode::Partial))
        .with(append("b", &secret[9..], UpdateMode::Partial));
    db.batch(batch).await.unwrap();
    let batch =
        Batch::new().with(append("b", "", UpdateMode::Partial)).with(append("b", " y", UpdateMode::Final));
    db.batch(batch).await.unwrap();
    assert_redacted(&db).await;
    assert!(text(&db, "b").await.ends_with("] y"));
}

/// An edit is redacted when it replaces the content and when it appends to it.
async fn edit(db: Persistence) {
    let secret = secret();
    db.thread("t").add(NewMessage::user("nothing").with_id("a".parse().unwrap())).await.unwrap();
    let nested = serde_json::json!([{"type": "tool", "input": {"deep": [[format!("x{{{secret}}}")]]}}]);
    db.thread("t").edit("a".parse().unwrap(), Content::from_blocks(&nested).unwrap()).await.unwrap();
    assert_redacted(&db).await;
    // The first half alone is ordinary text and is stored. The second half must not complete the secret.
    db.thread("t")
        .add(NewMessage::user(&format!("x {}", &secret[..7])).with_id("b".parse().unwrap()))
        .await
        .unwrap();
    db.run(append("b", &secret[7..], UpdateMode::Edit)).await.unwrap();
    assert!(!text(&db, "b").await.contains(&secret[8..16]));
}

async fn metadata(db: Persistence) {
    let secret = secret();
    db.thread("t").add(NewMessage::user("x").with_id("a".parse().unwrap())).await.unwrap();
    let patch = MetadataPatch::new().set("status", &["a", &secret]).unwrap().set("n", &1).unwrap();
    db.run(Update::new("t".parse().unwrap(), "a".parse().unwrap(), patch)).await.unwrap();
    assert_redacted(&db).await;
}

/// A replayed call changes nothing, and does not change the buffered text.
async fn replay(db: Persistence) {
    let secret = secret();
    reserve(&db, "m").await;
    let key = |key: &str| IdempotencyKey::new(key).unwrap();
    let first = format!("x {}", &secret[..6]);
    for time in 0..3 {
        let answer = db.run(append("m", &first, UpdateMode::Partial)).key(key("k1")).await.unwrap();
        assert_eq!(answer.deduplicated, time > 0);
    }
    db.run(append("m", &secret[6..], UpdateMode::Partial)).key(key("k2")).await.unwrap();
    db.run(append("m", &secret[6..], UpdateMode::Partial)).key(key("k2")).await.unwrap();
    db.run(append("m", " y", UpdateMode::Final)).key(key("k3")).await.unwrap();
    assert_redacted(&db).await;
    let stored = text(&db, "m").await;
    assert!(stored.starts_with("x [") && stored.ends_with("] y") && stored.len() < 50, "{stored}");
}

/// A refused call changes nothing.
async fn refused(db: Persistence) {
    let secret = secret();
    reserve(&db, "m").await;
    db.run(append("m", &format!("x {}", &secret[..6]), UpdateMode::Partial)).await.unwrap();
    for text in ["lost", &secret[6..]] {
        let stale = append("m", text, UpdateMode::Partial).expecting(Revision::new(77));
        assert_eq!(db.run(stale).await.unwrap_err().kind(), ErrorKind::Stale);
    }
    let answer = db.run(append("m", &format!("{} y", &secret[6..]), UpdateMode::Final)).await.unwrap();
    assert_eq!(answer.state, MessageState::Final);
    assert_redacted(&db).await;
    let stored = text(&db, "m").await;
    assert!(stored.starts_with("x [") && stored.ends_with("] y"), "{stored}");
}

/// Buffered text is written before the blocks that end it, and text after a text block continues that block.
async fn blocks(db: Persistence) {
    let secret = secret();
    let parts = [
        Delta::text(format!("a {}", &secret[..5])),
        Delta::Blocks(Content::from_json("[ ]").unwrap()),
        Delta::text(format!("{} b g", &secret[5..])),
        Delta::Blocks(Content::from_json(r#"[{"type":"image", "n":1.10}]"#).unwrap()),
        Delta::Blocks(Content::text(&format!("c {}", &secret[..5]))),
        Delta::text(&secret[5..]),
        Delta::text(" d"),
    ];
    reserve(&db, "m").await;
    for delta in parts {
        let change = ContentChange::Append(delta);
        let update =
            UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, UpdateMode::Partial);
        db.run(update).await.unwrap();
    }
    db.run(append("m", "", UpdateMode::Final)).await.unwrap();
    assert_redacted(&db).await;
    let stored = db.thread("t").get("m".parse().unwrap()).await.unwrap().unwrap().content;
    let blocks: Vec<&str> = stored.blocks().into_iter().map(serde_json::value::RawValue::get).collect();
    assert!(blocks[0].ends_with(r#"] b g"}"#) && blocks[2].ends_with(r#"] d"}"#), "{blocks:?}");
    assert_eq!((blocks.len(), blocks[1]), (3, r#"{"type":"image", "n":1.10}"#));
}

/// Text without a secret is stored unchanged, however it is split.
async fn narrow(db: Persistence) {
    let whole = "ghosts_ ask: sk-learn? -----BEGIN of token: g \u{0}é🦀 gh";
    let cuts: Vec<usize> = (0..=whole.len()).filter(|at| whole.is_char_boundary(*at)).collect();
    for cut in cuts {
        let id = format!("m{cut}");
        reserve(&db, &id).await;
        db.run(append(&id, &whole[..cut], UpdateMode::Partial)).await.unwrap();
        db.run(append(&id, &whole[cut..], UpdateMode::Final)).await.unwrap();
        assert_eq!(text(&db, &id).await, whole);
    }
    let odd = r#"[{"n":1.10,"n":18446744073709551615},  "\ud800 \u0000", null]"#;
    let odd = Content::from_json(odd).unwrap();
    let message = NewMessage::new(Role::User, odd.clone()).with_id("odd".parse().unwrap());
    db.thread("t").add(message).await.unwrap();
    assert_eq!(db.thread("t").get("odd".parse().unwrap()).await.unwrap().unwrap().content, odd);
}
