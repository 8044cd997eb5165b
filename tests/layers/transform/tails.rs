//! Tail reads through a transform that restores text.

use throughline::{
    Content, NewMessage, Persistence, Role,
    messages::{Add, ContentBuffer, ReadContent},
};

use super::{Store, content};

async fn add(db: &Persistence, json: &str) {
    let message =
        NewMessage::new(Role::User, Content::from_json(json).unwrap()).with_id("m".parse().unwrap());
    db.run(Add::new("t".parse().unwrap(), message)).await.unwrap();
}

/// Reads from the start to the end with this limit.
async fn assemble(db: &Persistence, limit: u32) -> String {
    let (mut buffer, mut after) = (ContentBuffer::new(&Content::empty()), None);
    loop {
        let read = ReadContent::new("t".parse().unwrap(), "m".parse().unwrap(), after).with_limit(limit);
        let tail = db.read(read).await.unwrap().unwrap();
        tail.parts.iter().for_each(|part| buffer.push(part));
        if !tail.has_more {
            return buffer.content().as_json().to_owned();
        }
        after = Some(tail.next);
    }
}

#[tokio::test]
async fn a_small_limit_of_a_long_text_costs_two_inner_reads() {
    let store = Store::default();
    let db = store.open(false);
    let text = "Alice ".repeat(5000);
    add(&db, &format!(r#"[{{"type":"text","text":"{text}"}}]"#)).await;
    store.asked.lock().unwrap().clear();
    assert!(assemble(&db, 1).await == content(&db, "m").await);
    // Two tail reads, and the read of the whole message.
    assert_eq!(store.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_read_of_any_limit_restores_the_text_of_every_block() {
    for json in [
        r#"[{"type":"text","text":"a"},{"type":"text","text":"hi Alice, Bob"}]"#,
        r#"[{"n":1},{"type":"text","text":"Alice"},{"type":"text","text":"Bob"},{"type":"text","text":"é Alice"},7]"#,
        r#"[{"type":"text","text":"Bob"},{"type":"text","text":""},{"type":"text","text":"Alice"},{"x":"Bob"}]"#,
    ] {
        let db = Store::default().open(false);
        add(&db, json).await;
        assert_eq!(content(&db, "m").await, json);
        for limit in 1..=json.len() as u32 {
            assert_eq!(assemble(&db, limit).await, json, "{limit}");
        }
    }
}
