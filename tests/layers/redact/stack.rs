//! What only a whole pipeline shows: calls at once, calls that are left, what a draft counts, and rules of a host's own.

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

/// Lets others go first, before the store is asked and before its answer is passed on.
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
async fn appends_at_once_take_turns_and_show_no_part_of_a_secret() {
    let secret = secret();
    let (begin, end) = secret.split_at(17);
    for at in 0..20 {
        let db = open(RedactLayer::secrets());
        reserve(&db, "m").await;
        // Polled in this order, they come to the layer in this order, and to the store in this order.
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
async fn an_append_that_its_caller_left_is_there_once_or_not_at_all() {
    let secret = secret();
    let (begin, end) = secret.split_at(17);
    let mut left = 0;
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
                left += 1;
                yield_now().await;
            }
        }
        // The same call again says what became of it, and adds what is missing.
        db.run(append("m", &format!("{end} b"), UpdateMode::Partial)).key("k").await.unwrap();
        db.run(append("m", " c", UpdateMode::Final)).await.unwrap();
        let stored = text(&db, "m").await;
        let (before, after) =
            stored.split_once("[redacted:github-token#").unwrap_or_else(|| panic!("{stored}"));
        assert_eq!((before, &after[8..]), ("a ", "] b c"), "left after {polls} polls");
    }
    assert!(left > 0, "no call was left under way");
}

#[tokio::test]
async fn a_draft_counts_nothing_as_committed_that_is_held_back() {
    let db = open(RedactLayer::secrets());
    let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
    draft.append("say ghp_a1").await.unwrap();
    let held = draft.flush().await.unwrap();
    // What may become a token is not stored yet.
    assert_eq!((held.bytes, text(&db, draft.id().as_str()).await.as_str()), (4, "say "));
    draft.append("! nothing of it.").await.unwrap();
    let all = draft.flush().await.unwrap();
    assert_eq!(all.bytes, draft.streamed_bytes());
    assert_eq!(text(&db, draft.id().as_str()).await, "say ghp_a1! nothing of it.");
    draft.finish().await.unwrap();
}

#[tokio::test]
async fn what_is_as_random_as_a_key_is_hidden_where_that_is_asked_for() {
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
async fn a_marker_of_another_key_is_a_text_like_any_other() {
    let marker = |layer: &RedactLayer| {
        let db = open(layer.clone());
        async move {
            let added = db.thread("t").add(NewMessage::user(&secret())).await.unwrap();
            added.message.content.plain_text(100)
        }
    };
    let keyed = |key: u8| RedactLayer::with_rules(Rules::secrets().marker_key([key; 32])).unwrap();
    let (ours, theirs) = (keyed(1), keyed(2));
    let (mine, other) = (marker(&ours).await, marker(&theirs).await);
    assert_eq!(mine, marker(&keyed(1)).await, "the same key makes the same markers");
    assert_ne!(mine, other);
    assert!(ours.redactor().is_marker(&mine) && !ours.redactor().is_marker(&other));
    // Nobody can have a text pass for a marker: what is written for one is counted as nothing and kept as it is.
    let db = open(ours.clone());
    let added = db.thread("t").add(NewMessage::user(&format!("{mine} {other}"))).await.unwrap();
    assert_eq!(added.message.content.plain_text(200), format!("{mine} {other}"));
    assert_eq!(ours.counts().get("github-token"), 1);
}
