//! Checks that need a whole pipeline: concurrent calls, dropped calls, watermarks of drafts, and custom rules.

use std::{future::poll_fn, pin::pin, task::Poll};

use throughline::{
    Call, NewMessage, Next, Operation, Persistence, Phase, Plugin, Reply, Result, Role,
    layers::redact::{RedactLayer, Rules},
    memory::MemoryBackend,
    messages::UpdateMode,
};
use tokio::task::yield_now;

use super::checks::{append, reserve, secret};

fn open(layer: RedactLayer) -> Persistence {
    Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap()
}

/// Yields before the store is called and before its answer returns.
struct Slow;

impl Plugin for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn phase(&self) -> Phase {
        Phase::Route
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        yield_now().await;
        let answer = next.run(call).await;
        yield_now().await;
        answer
    }
}

async fn text(db: &Persistence, id: &str) -> String {
    db.thread("t").get(id.parse().unwrap()).await.unwrap().unwrap().content.plain_text(100_000)
}

#[tokio::test]
async fn concurrent_appends_store_no_part_of_a_split_secret() {
    let secret = secret();
    let (begin, end) = secret.split_at(17);
    for at in 0..20 {
        let db = open(RedactLayer::secrets());
        reserve(&db, "m").await;
        // The calls are polled in this order, so they reach the layer and the store in this order.
        let first = pin!(async { db.run(append("m", &format!("{at} {begin}"), UpdateMode::Partial)).await });
        let second = pin!(async { db.run(append("m", &format!("{end} two"), UpdateMode::Partial)).await });
        let third = pin!(async { db.run(append("m", " three", UpdateMode::Final)).await });
        let (first, second, third) = tokio::join!(biased; first, second, third);
        first.unwrap();
        second.unwrap();
        third.unwrap();
        let stored = text(&db, "m").await;
        let (before, after) = stored.split_once("[redacted:github-token#").unwrap();
        assert_eq!((before, &after[8..]), (&*format!("{at} "), "] two three"));
    }
}

#[tokio::test]
async fn a_dropped_append_is_stored_at_most_once() {
    let secret = secret();
    let (begin, end) = secret.split_at(17);
    let mut pending = 0;
    for polls in 0..8 {
        let redact = RedactLayer::secrets();
        let slow = Persistence::builder().layer(redact).plugin(Slow);
        let db = slow.backend(MemoryBackend::new()).build().unwrap();
        reserve(&db, "m").await;
        db.run(append("m", &format!("a {begin}"), UpdateMode::Partial)).await.unwrap();
        {
            let mut call =
                pin!(async { db.run(append("m", &format!("{end} b"), UpdateMode::Partial)).key("k").await });
            for _ in 0..polls {
                let poll = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                if poll.is_ready() {
                    break;
                }
                pending += 1;
                yield_now().await;
            }
        }
        // The repeated call returns the outcome of the dropped one, and adds missing text.
        db.run(append("m", &format!("{end} b"), UpdateMode::Partial)).key("k").await.unwrap();
        db.run(append("m", " c", UpdateMode::Final)).await.unwrap();
        let stored = text(&db, "m").await;
        let (before, after) =
            stored.split_once("[redacted:github-token#").unwrap_or_else(|| panic!("{stored}"));
        assert_eq!((before, &after[8..]), ("a ", "] b c"), "left after {polls} polls");
    }
    assert!(pending > 0, "no call was dropped while it was running");
}

#[tokio::test]
async fn the_watermark_of_a_draft_excludes_buffered_text() {
    let db = open(RedactLayer::secrets());
    let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
    draft.append("say ghp_a1").await.unwrap();
    let held = draft.flush().await.unwrap();
    // The beginning of a possible token is not stored yet.
    assert_eq!((held.bytes, text(&db, draft.id().as_str()).await.as_str()), (4, "say "));
    draft.append("! nothing of it.").await.unwrap();
    let all = draft.flush().await.unwrap();
    assert_eq!(all.bytes, draft.streamed_bytes());
    assert_eq!(text(&db, draft.id().as_str()).await, "say ghp_a1! nothing of it.");
    draft.finish().await.unwrap();
}

#[tokio::test]
async fn text_with_high_entropy_is_redacted_only_if_configured() {
    let random = "q8Zr2LxV7nTd0Kw5YbHc3MfJ9sGpE1aU6oXi";
    let ordinary = "ThisIsOnlyALongNameOfSomethingThatIsNoKey";
    for (rules, is_hidden) in [(Rules::none(), false), (Rules::none().entropy(4.5), true)] {
        let db = open(RedactLayer::with_rules(rules).unwrap());
        reserve(&db, "m").await;
        for part in [format!("{ordinary} ").as_str(), &random[..5], &random[5..], " end"] {
            db.run(append("m", part, UpdateMode::Partial)).await.unwrap();
        }
        db.run(append("m", ".", UpdateMode::Final)).await.unwrap();
        let stored = text(&db, "m").await;
        assert_eq!(stored.contains("[redacted:entropy#"), is_hidden, "{stored}");
        assert_eq!(stored.contains(random), !is_hidden, "{stored}");
        assert!(stored.starts_with(&format!("{ordinary} ")) && stored.ends_with(" end."), "{stored}");
    }
}

#[tokio::test]
async fn a_marker_of_another_key_is_ordinary_text() {
    let marker = |layer: &RedactLayer| {
        let db = open(layer.clone());
        async move {
            let added = db.thread("t").add(NewMessage::user(&secret())).await.unwrap();
            added.message.content.plain_text(100)
        }
    };
    let keyed = |key: u8| RedactLayer::with_rules(Rules::secrets().marker_key([key; 32])).unwrap();
    let (ours, others) = (keyed(1), keyed(2));
    let (mine, other) = (marker(&ours).await, marker(&others).await);
    assert_eq!(mine, marker(&keyed(1)).await, "the same key creates the same markers");
    assert_ne!(mine, other);
    assert!(ours.redactor().is_marker(&mine) && !ours.redactor().is_marker(&other));
    // A caller cannot forge a marker: its text is stored unchanged and not counted.
    let db = open(ours.clone());
    let added = db.thread("t").add(NewMessage::user(&format!("{mine} {other}"))).await.unwrap();
    assert_eq!(added.message.content.plain_text(200), format!("{mine} {other}"));
    assert_eq!(ours.counts().get("github-token"), 1);
}
