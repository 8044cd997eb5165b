//! The pair rule: the pointer moves whole, with the end of its run, and only forward.

use throughline_core::{
    ErrorKind, NewReservation, Persistence, Role,
    ids::AttemptId,
    messages::{Add, Batch, Reserve, UpdateContent, UpdateMode},
    sessions::{AgentThread, AttemptState, BeginRun, Binding, RunReport, Withheld},
};

use super::{agent_thread, at, begun, binding, dir, gap, look, offer, points, ran, session};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, refused, said, thread_id},
};

checks! {
    Extended "sessions.pointer_moves_as_a_whole" ("MU-S5") [Session Read] "a run without a session leaves the pointer, and a run with another session replaces all of it" => pointer;
    Extended "sessions.readers_never_see_a_mixed_pair" ("MU-S5") [Session Read; threads] "a concurrent reader never sees a pair of session and runtime that no run produced" => never_mixed;
    Extended "sessions.finish_and_pointer_are_one_commit" ("MU-S6") [Session Batch Reserve UpdateContent Read; threads] "the end of a message and its session pointer become visible in one commit" => finish;
    Extended "sessions.refused_batch_moves_no_pointer" ("MU-S6") [Session Batch Add Read] "a refused batch moves no pointer and ends no run" => all_or_nothing;
    Extended "sessions.late_pin_replaces_a_missing_session" [Session Read] "a late pin of a cancelled run becomes the pointer, even if that run missed its resumed session" => pin_after_missing;
    Extended "sessions.pin_survives_cancellation" ("MU-S9") [Session Read] "a pin survives the run's cancellation, a late pin counts, and one after a newer turn does not" => pin;
    Extended "sessions.pointer_is_that_of_the_newest_turn" ("MU-S15") [Session Thread Read] "in every order of pin, cancel, finish, turn and deletion the pointer belongs to the newest turn" => interleavings;
    Extended "sessions.repeated_key_begins_no_second_run" [Session Read; keys] "a call that is repeated with its key gets the first answer and begins no second run" => key;
    Extended "sessions.claim_of_an_old_revision_is_stale" [Session Read] "a claim that expects an outdated revision of the binding is refused as stale" => expecting;
    Extended "sessions.agent_wide_operations_take_no_key_or_batch" [Session Read] "an operation on a whole agent or runtime is refused in a batch or with a key" => whole, core alone: "the pipeline refuses both before a backend is asked";
}

async fn pointer(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let run = begun(&a, at("r1")).await.attempt;
    let changed = a.confirm(run, RunReport::default()).await.unwrap();
    assert_eq!((changed.moved, points(&changed.binding)), (false, Some(("s1", Some("r1"), Some("/s1")))));
    let run = begun(&a, at("r2")).await.attempt;
    assert_eq!(points(&binding(&a).await), Some(("s1", Some("r1"), Some("/s1"))), "not before it ends");
    let report = RunReport::of(session("s2")).in_directory(dir("/s2"));
    let changed = a.confirm(run, report).await.unwrap();
    assert_eq!((changed.moved, points(&changed.binding)), (true, Some(("s2", Some("r2"), Some("/s2")))));
    // An id that was only given is not evidence.
    let b = agent_thread(&db, "b");
    let run = b.begin(b.run(at("r1")).unwrap().assigning(session("given"))).await.unwrap().attempt;
    let changed = b.confirm(run, RunReport::default()).await.unwrap();
    assert_eq!(changed.binding.pointer, None);
    assert_eq!(offer(&look(&b, at("r1")).await), (None, None, Some(Withheld::Provisional)));
}

/// Runs one turn on each of `count` runtimes, each with a session of its number.
async fn turns(agent_thread: AgentThread, count: usize) {
    for turn in 0..count {
        let run = begun(&agent_thread, at(&format!("r{turn}"))).await.attempt;
        let report = RunReport::of(session(&format!("s{turn}"))).in_directory(dir(&format!("/{turn}")));
        agent_thread.confirm(run, report).await.expect("it is confirmed");
    }
}

fn is_a_pair(binding: &Binding) {
    let Some((session, runtime, directory)) = points(binding) else { return };
    let number = session.strip_prefix('s').expect("a session of a turn");
    assert_eq!((runtime, directory), (Some(&*format!("r{number}")), Some(&*format!("/{number}"))));
}

async fn never_mixed(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let writer = tokio::spawn(turns(a.clone(), 20));
    while !writer.is_finished() {
        if let Some(binding) = look(&a, at("r1")).await.binding {
            is_a_pair(&binding);
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("no panic");
    assert_eq!(points(&binding(&a).await), Some(("s19", Some("r19"), Some("/19"))));
}

async fn reserve(db: &Persistence, name: &str) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
    db.run(Reserve::new(thread_id("a"), reservation)).await.expect("a row");
}

fn ending(name: &str) -> UpdateContent {
    UpdateContent::new(thread_id("a"), id(name), append("done"), UpdateMode::Final)
}

async fn finish(rig: Rig) {
    const TURNS: usize = 20;
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let writer = {
        let (db, a) = (db.clone(), a.clone());
        tokio::spawn(async move {
            for turn in 0..TURNS {
                reserve(&db, &format!("m{turn}")).await;
                let run = begun(&a, at("r1")).await.attempt;
                let confirm = a.confirmation(run, RunReport::of(session(&format!("s{turn}")))).unwrap();
                let batch = Batch::new().with(ending(&format!("m{turn}"))).with(confirm);
                db.batch(batch).await.expect("both or none");
            }
        })
    };
    let thread = db.thread("a");
    loop {
        let over = writer.is_finished();
        // The pointer is read first, so it is never ahead of the message that ended with it.
        let pointed = look(&a, at("r1")).await.session;
        let settled = everything(&thread).await.iter().filter(|message| !message.state.is_open()).count();
        let number = pointed.map_or(0, |id| id.as_str()[1..].parse::<usize>().expect("a number") + 1);
        assert!(number <= settled, "the pointer is at turn {number} of {settled}");
        // And the message is never ahead of the pointer.
        let pointed = look(&a, at("r1")).await.session;
        let number = pointed.map_or(0, |id| id.as_str()[1..].parse::<usize>().expect("a number") + 1);
        assert!(number >= settled, "{settled} turns had ended, and the pointer is at {number}");
        if over {
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("no panic");
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s19")));
}

async fn all_or_nothing(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    db.thread("a").add(said("m", "x")).await.unwrap();
    let run = begun(&a, at("r1")).await.attempt;
    let before = binding(&a).await;
    let confirm = || a.confirmation(run.clone(), RunReport::of(session("s2"))).unwrap();
    let batch = Batch::new().with(confirm()).with(Add::new(thread_id("a"), said("m", "again")));
    let error = refused(db.batch(batch).await, ErrorKind::AlreadyExists);
    assert_eq!((error.batch_index(), binding(&a).await), (Some(1), before));
    let batch = Batch::new().with(Add::new(thread_id("a"), said("n", "x"))).with(confirm());
    db.batch(batch).await.unwrap();
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s2")));
    // And the other way: a run that is over takes its message back.
    let batch = Batch::new().with(Add::new(thread_id("a"), said("o", "x"))).with(confirm());
    assert_eq!(refused(db.batch(batch).await, ErrorKind::Stale).batch_index(), Some(1));
    assert_eq!(db.thread("a").get(id("o")).await.unwrap(), None);
    // A run can begin and end in one batch.
    let begin = a.run(at("r1")).unwrap().named("both".parse().unwrap());
    let end = a.confirmation("both".parse().unwrap(), RunReport::of(session("s3"))).unwrap();
    db.batch(Batch::new().with(begin).with(end)).await.unwrap();
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s3")));
}

async fn pin_after_missing(rig: Rig) {
    let db = rig.db().await;
    // Whichever of the two names comes first.
    for (thread, resumed, pinned) in [("a", "s1", "s2"), ("b", "s2", "s1")] {
        let agent_thread = agent_thread(&db, thread);
        ran(&agent_thread, at("r1"), resumed).await;
        let run = begun(&agent_thread, at("r1")).await;
        assert_eq!(run.resolution.session, Some(session(resumed)));
        agent_thread.cancel(run.attempt.clone(), RunReport::default().without_artifact()).await.unwrap();
        assert!(agent_thread.pin(run.attempt, session(pinned), Some(dir("/late"))).await.unwrap().moved);
        let seen = look(&agent_thread, at("r1")).await;
        assert_eq!(
            (offer(&seen), gap(&seen)),
            ((Some(pinned), Some("/late"), None), None),
            "{resumed}, {pinned}"
        );
    }
}

async fn pin(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let run = begun(&a, at("r1")).await.attempt;
    let pinned = a.pin(run.clone(), session("s2"), None).await.unwrap();
    assert_eq!((pinned.moved, points(&pinned.binding)), (false, Some(("s1", Some("r1"), Some("/s1")))));
    let cancelled = a.cancel(run.clone(), RunReport::default()).await.unwrap();
    assert_eq!((cancelled.moved, look(&a, at("r1")).await.session), (true, Some(session("s2"))));
    // The slot is taken: what comes then is late.
    refused(a.pin(run, session("s9"), None).await, ErrorKind::Stale);
    let late = begun(&a, at("r1")).await.attempt;
    a.cancel(late.clone(), RunReport::default()).await.unwrap();
    assert!(a.pin(late, session("s3"), Some(dir("/s3"))).await.unwrap().moved);
    assert_eq!(offer(&look(&a, at("r1")).await), (Some("s3"), Some("/s3"), None));
    let later = begun(&a, at("r1")).await.attempt;
    a.cancel(later.clone(), RunReport::default()).await.unwrap();
    ran(&a, at("r1"), "s5").await;
    let left = a.pin(later, session("s4"), None).await.unwrap();
    assert_eq!((left.moved, points(&left.binding)), (false, Some(("s5", Some("r1"), Some("/s5")))));
    assert_eq!(look(&a, at("r1")).await.session, Some(session("s5")));
    // Nor does one that began before a reset: what it has is of what was discarded.
    let before = begun(&a, at("r1")).await.attempt;
    a.cancel(before.clone(), RunReport::default()).await.unwrap();
    a.reset().await.unwrap();
    let discarded = refused(a.pin(before, session("s7"), None).await, ErrorKind::Stale);
    assert!(discarded.detail().ends_with("the sessions were reset since it began"), "{discarded}");
    assert_eq!(look(&a, at("r1")).await.session, None);
    // One that has ended otherwise says no more.
    let done = begun(&a, at("r1")).await.attempt;
    a.confirm(done.clone(), RunReport::default()).await.unwrap();
    refused(a.pin(done, session("s6"), None).await, ErrorKind::Stale);
    refused(a.pin(AttemptId::mint(), session("s6"), None).await, ErrorKind::NotFound);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Pin,
    Cancel,
    Finish,
    Next,
    Delete,
}

/// Every order of the steps.
fn orders(steps: &[Step]) -> Vec<Vec<Step>> {
    let Some((last, rest)) = steps.split_last() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for order in orders(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, *last);
            all.push(order);
        }
    }
    all
}

async fn interleavings(rig: Rig) {
    let db = rig.db().await;
    let steps = [Step::Pin, Step::Cancel, Step::Finish, Step::Next];
    for (number, order) in orders(&steps).into_iter().enumerate() {
        // The thread is deleted at each index of the order, and never.
        for deleted_at in 0..=order.len() + 1 {
            let mut order = order.clone();
            if deleted_at <= steps.len() {
                order.insert(deleted_at, Step::Delete);
            }
            one_order(&db, &format!("t{number}-{deleted_at}"), &order).await;
        }
    }
}

async fn one_order(db: &Persistence, thread: &str, order: &[Step]) {
    let here = agent_thread(db, thread);
    let run = begun(&here, at("r1")).await.attempt;
    // The report of the newest turn, whether the first run has ended, and the session that it reported.
    let (mut expected, mut over, mut said, mut next, mut deleted) = (None, false, None, false, false);
    for step in order {
        let done = match step {
            Step::Pin => {
                let answer = here.pin(run.clone(), session("pinned"), None).await;
                let may = !deleted && said != Some("finished") && !(over && said.is_some());
                assert_eq!(answer.is_ok(), may, "{order:?}: {answer:?}");
                if may {
                    said = Some("pinned");
                    if over && !next {
                        expected = said;
                    }
                }
                continue;
            }
            Step::Cancel => here.cancel(run.clone(), RunReport::default()).await.map(|_| said),
            Step::Finish => {
                let answer = here.confirm(run.clone(), RunReport::of(session("finished"))).await;
                answer.map(|_| Some("finished"))
            }
            Step::Next => {
                let mut begin: BeginRun = here.run(at("r1")).unwrap();
                begin.attempt = AttemptId::mint();
                let attempt = begin.attempt.clone();
                match here.begin(begin).await {
                    Ok(_) => {
                        let report = RunReport::of(session("next"));
                        here.confirm(attempt, report).await.expect("it has the lease");
                        next = true;
                        expected = Some("next");
                    }
                    Err(error) => {
                        let kind = if deleted { ErrorKind::Gone } else { ErrorKind::Busy };
                        assert_eq!((error.kind(), over && !deleted), (kind, false), "{order:?}");
                    }
                }
                continue;
            }
            Step::Delete => {
                db.thread(thread).delete_thread().await.expect("there is one");
                deleted = true;
                continue;
            }
        };
        assert_eq!(done.is_ok(), !over && !deleted, "{order:?}: {done:?}");
        if let Ok(recorded) = done {
            over = true;
            said = recorded;
            expected = recorded;
        }
    }
    let seen = look(&here, at("r1")).await;
    if deleted {
        assert_eq!(
            (offer(&seen), seen.binding.as_ref()),
            ((None, None, Some(Withheld::ThreadDeleted)), None)
        );
        assert_eq!(here.history(10).await.unwrap().attempts, []);
        return;
    }
    assert_eq!(seen.session, expected.map(session), "{order:?}");
    let history = here.history(10).await.unwrap().attempts;
    assert_eq!(history.len(), 1 + usize::from(next), "{order:?}");
    assert_eq!(history.iter().any(|attempt| attempt.state == AttemptState::Running), !over, "{order:?}");
}

async fn key(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    ran(&a, at("r1"), "s1").await;
    let run = a.run(at("r2")).unwrap();
    let first = a.begin(run.clone()).key("turn").await.unwrap();
    let second = a.begin(run.clone()).key("turn").await.unwrap();
    assert!(!first.deduplicated && second.deduplicated && first.resolution.gap.is_some());
    assert_eq!((second.resolution, second.lease, second.number), (first.resolution, first.lease, 2));
    refused(a.begin(run.clone()).await, ErrorKind::AlreadyExists);
    let other = a.begin(BeginRun { work_dir: Some(dir("/x")), ..run.clone() }).key("turn").await;
    refused(other, ErrorKind::Conflict);
    let end = || a.confirm(run.attempt.clone(), RunReport::of(session("s2"))).key("end");
    let (first, second) = (end().await.unwrap(), end().await.unwrap());
    assert!(!first.deduplicated && second.deduplicated && second.moved);
    assert_eq!(first.binding, second.binding);
    assert_eq!(a.history(10).await.unwrap().attempts.len(), 2);
}

async fn expecting(rig: Rig) {
    let db = rig.db().await;
    let a = agent_thread(&db, "a");
    let seen = look(&a, at("r1")).await.revision;
    let run = || a.run(at("r1")).unwrap().expecting(seen);
    let first = a.begin(run()).await.unwrap().attempt;
    a.cancel(first, RunReport::default()).await.unwrap();
    refused(a.begin(run()).await, ErrorKind::Stale);
    let seen = look(&a, at("r1")).await;
    assert_eq!(seen.binding.as_ref().map(|binding| binding.revision), Some(seen.revision));
    a.begin(a.run(at("r1")).unwrap().expecting(seen.revision)).await.unwrap();
}

async fn whole(rig: Rig) {
    let db = rig.db().await;
    let agent = db.agent("g");
    refused(agent.reset_all().key("k").await, ErrorKind::Invalid);
    refused(agent.drop_sessions().key("k").await, ErrorKind::Invalid);
    refused(db.drop_runtime("r1".parse().unwrap()).key("k").await, ErrorKind::Invalid);
    let a = agent_thread(&db, "a");
    let drop_agent = throughline_core::sessions::DropAgent { agent: "g".parse().unwrap() };
    let batch = Batch::new().with(a.run(at("r1")).unwrap()).with(drop_agent);
    assert_eq!(refused(db.batch(batch).await, ErrorKind::Invalid).batch_index(), Some(1));
    assert_eq!(look(&a, at("r1")).await.binding, None);
}
