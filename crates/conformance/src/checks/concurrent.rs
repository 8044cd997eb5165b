//! Many callers at once.

use throughline_core::{
    Content, ErrorKind, MessageState, Metadata, NewMessage, NewReservation, Revision, Role,
    messages::{Reserve, UpdateContent, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, facts, id, said, the},
};

checks! {
    Core "concurrency.one_add_of_an_id_wins" [Add Read; threads] "when many callers add the same id, one succeeds and the others get `AlreadyExists`" => same_id;
    Core "concurrency.one_update_of_a_revision_wins" [Reserve UpdateContent Read; threads] "when many callers update the same revision, one succeeds and the others get `Stale`" => revision;
    Core "concurrency.appends_are_whole_and_applied_once" [Reserve UpdateContent Read; threads] "concurrent appends to one message are each applied once and never mixed" => appends;
    Core "concurrency.adds_get_unique_ordered_seqs" [Add Read; threads] "concurrently added messages get unique sequence numbers and positions, in the same order" => seqs;
    Core "concurrency.one_finish_wins" [Reserve UpdateContent Read; threads] "when many callers settle one message, one succeeds and the message is settled once" => settle;
    Core "concurrency.one_writer_sets_an_absent_name" [Add Update Read; threads] "when many callers set a metadata name where it is absent, one sets it and the others get its value" => absent;
    Extended "concurrency.one_call_per_key_is_applied" [Add Read; keys threads] "when many callers use the same key, the store applies one call and answers all alike" => same_key;
}

const CALLERS: usize = 12;

/// Runs a call of each caller at once, and answers what each was answered.
async fn at_once<T, F>(call: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let calls: Vec<_> = (0..CALLERS).map(|number| tokio::spawn(call(number))).collect();
    let mut answers = Vec::with_capacity(CALLERS);
    for call in calls {
        answers.push(call.await.expect("no caller panics"));
    }
    answers
}

/// The one that won; the others were refused so.
#[track_caller]
fn only_one<T: std::fmt::Debug>(answers: Vec<throughline_core::Result<T>>, kind: ErrorKind) -> T {
    let mut won = Vec::new();
    for answer in answers {
        match answer {
            Ok(answer) => won.push(answer),
            Err(error) => assert_eq!(error.kind(), kind, "{error}"),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    won.remove(0)
}

async fn same_id(rig: Rig) {
    let db = rig.db().await;
    for round in 0..8 {
        let thread = db.thread(format!("{round}"));
        let add = |number: usize| thread.add(said("m", &number.to_string())).into_future();
        let won = only_one(at_once(add).await, ErrorKind::AlreadyExists);
        assert_eq!(everything(&thread).await, [won.message]);
    }
}

async fn reserved(db: &throughline_core::Persistence, thread: &str) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    db.run(Reserve::new(thread.parse().unwrap(), reservation)).await.unwrap();
}

async fn revision(rig: Rig) {
    let db = rig.db().await;
    for round in 0..8 {
        let name = format!("{round}");
        reserved(&db, &name).await;
        let update = |number: usize| {
            let change = append(&number.to_string());
            let update = UpdateContent::new(name.parse().unwrap(), id("m"), change, UpdateMode::Partial);
            db.run(update.expecting(Revision::FIRST)).into_future()
        };
        let won = only_one(at_once(update).await, ErrorKind::Stale);
        assert_eq!(won.revision, Revision::new(2));
        assert_eq!(the(&db.thread(name), "m").await.revision, Revision::new(2));
    }
}

async fn absent(rig: Rig) {
    let db = rig.db().await;
    for round in 0..8 {
        let thread = db.thread(format!("{round}"));
        thread.add(said("m", "x")).await.unwrap();
        let claim = |number: usize| {
            let values = facts(&format!(r#"{{"claimed-by":{number},"own-{number}":true}}"#));
            thread.set_absent(id("m"), values).into_future()
        };
        let answers: Vec<_> =
            at_once(claim).await.into_iter().map(|answer| answer.expect("an update")).collect();
        let won: Vec<usize> = (0..CALLERS).filter(|number| answers[*number].kept.is_empty()).collect();
        assert_eq!(won.len(), 1, "callers that set the name: {won:?}");
        let first = |metadata: &Metadata| metadata.get_as::<usize>("claimed-by");
        assert!(answers.iter().all(|updated| first(&updated.metadata) == Some(won[0])), "{answers:?}");
        // Each name is decided by itself: the others set the names that are their own.
        let stored = the(&thread, "m").await.metadata;
        assert_eq!((first(&stored), stored.len()), (Some(won[0]), 1 + CALLERS));
    }
}

async fn appends(rig: Rig) {
    let db = rig.db().await;
    reserved(&db, "t").await;
    let thread = db.thread("t");
    let append = |number: usize| {
        let thread = thread.clone();
        async move {
            let mut revisions = Vec::new();
            for time in 0..4 {
                let change = append(&format!("<{number}.{time}>"));
                let updated = thread.update_content(id("m"), change, UpdateMode::Partial).await;
                revisions.push(updated.expect("an append without conditions").revision);
            }
            revisions
        }
    };
    let mut revisions = at_once(append).await.concat();
    revisions.sort();
    let expected: Vec<_> = (2..2 + CALLERS as u64 * 4).map(Revision::new).collect();
    assert_eq!(revisions, expected, "each append is a revision of its own");
    let text = the(&thread, "m").await.content;
    for number in 0..CALLERS {
        let seqs: Vec<_> = (0..4).map(|time| text.as_json().find(&format!("<{number}.{time}>"))).collect();
        assert!(seqs.iter().all(Option::is_some), "an append of caller {number} is lost");
        assert!(seqs.is_sorted(), "each caller's own are in order");
    }
    let chunks = text.as_json().matches('<').count();
    assert_eq!(chunks, CALLERS * 4, "an append is there twice");
}

async fn seqs(rig: Rig) {
    let db = rig.db().await;
    let add = |number: usize| {
        let thread = db.thread(if number.is_multiple_of(2) { "even" } else { "odd" });
        async move {
            let mut added = Vec::new();
            for _ in 0..4 {
                let reply = thread.add(NewMessage::user("x")).reply().await.expect("an added message");
                added.push((crate::shorthand::position(&reply), reply.output.message));
            }
            added
        }
    };
    let mut added = at_once(add).await.concat();
    added.sort_by_key(|(position, _)| *position);
    assert!(added.is_sorted_by(|a, b| a.0 < b.0), "two changes have the same position");
    for name in ["even", "odd"] {
        let by_position: Vec<_> = added
            .iter()
            .filter(|(_, message)| message.thread.as_str() == name)
            .map(|(_, m)| m.clone())
            .collect();
        assert_eq!(everything(&db.thread(name)).await, by_position, "seqs are in the order of positions");
    }
}

async fn settle(rig: Rig) {
    let db = rig.db().await;
    for round in 0..8 {
        let name = format!("{round}");
        reserved(&db, &name).await;
        let thread = db.thread(name);
        let settle = |number: usize| {
            let mode = if number.is_multiple_of(2) {
                UpdateMode::Final
            } else {
                UpdateMode::Abandon { reason: None }
            };
            thread.update_content(id("m"), append(&number.to_string()), mode).into_future()
        };
        let won = only_one(at_once(settle).await, ErrorKind::Stale);
        let after = the(&thread, "m").await;
        assert_eq!((after.state, after.revision), (won.state, Revision::new(2)));
        let winner: usize =
            after.content.as_json().chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap();
        assert_eq!(after.content, Content::text(&winner.to_string()));
        assert_eq!(
            after.state == MessageState::Final,
            winner.is_multiple_of(2),
            "its content and its end are the same caller's"
        );
    }
}

async fn same_key(rig: Rig) {
    let db = rig.db().await;
    for round in 0..8 {
        let thread = db.thread(format!("{round}"));
        let add = |_| thread.add(NewMessage::user("x")).key("k").into_future();
        let answers = at_once(add).await;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("all are answered")).collect();
        assert_eq!(answers.iter().filter(|answer| !answer.deduplicated).count(), 1);
        let read = everything(&thread).await;
        assert_eq!(read.len(), 1);
        assert!(answers.iter().all(|answer| answer.message == read[0]));
    }
}
