//! REL-26: the synchronous standby is frozen.

use std::time::{Duration, Instant};

use throughline_core::{Effect, NewMessage, Persistence, Position, changes::MoveCursor};
use throughline_postgres_cluster::{Cluster, Group};
use throughline_reliability::Report;

use crate::scene::{effect, installation, open, options};

/// Ends each wait for the standby with `cancel` or `terminate`. Returns the number of waits.
fn end_waits(primary: &Cluster, way: &str) -> u64 {
    let sql =
        format!("SELECT count(pg_{way}_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
    primary.run("postgres", &sql).unwrap().parse().unwrap()
}

/// Makes a call, and meanwhile ends each wait for the standby. Returns the answer and the number of waits.
async fn while_waits_end<T: Send + 'static>(
    group: &Group,
    way: &str,
    call: impl Future<Output = T> + Send + 'static,
) -> (T, u64) {
    let call = tokio::spawn(call);
    let mut ended = 0;
    while !call.is_finished() {
        ended += end_waits(group.primary(), way);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (call.await.unwrap(), ended)
}

/// A message whose id the store refuses to add again.
fn known() -> NewMessage {
    NewMessage::user("before").with_id("known".parse().unwrap())
}

/// A cursor at the first change: a second such call changes nothing.
fn cursor() -> MoveCursor {
    MoveCursor { consumer: "reader".parse().unwrap(), to: Position::new(1), expected: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rel_26_commit_without_its_standby_is_not_acknowledged() {
    let mut report = Report::new("REL-26");
    let Some(installation) = installation("REL-26: a frozen standby") else { return };
    let group = Group::start(&installation, true).unwrap();
    // The server warns each new connection of this. The store must still see the later warnings of its commits.
    let recorded = "UPDATE pg_database SET datcollversion = 'of another version'";
    group.primary().run("postgres", recorded).unwrap();
    let limits = options()
        .wait_limit(Duration::from_secs(1))
        .answer_limit(Duration::from_secs(1))
        .resolve_limit(Duration::from_secs(2));
    let db = open(limits, &group.url("postgres")).await;
    let thread = db.thread("t");
    thread.add(known()).await.unwrap();

    group.other().freeze().unwrap();
    let deadline = Duration::from_millis(1500);
    let begun = Instant::now();
    let answer = thread.add(NewMessage::user("x")).key("deadline").deadline(deadline).await;
    assert_eq!(effect(&answer), Effect::Unknown, "{answer:?}");
    assert!(begun.elapsed() < deadline + Duration::from_secs(1), "{:?}", begun.elapsed());
    report.fired("a commit that waited at its deadline", 1);
    group.other().thaw().unwrap();
    let answer = thread.add(NewMessage::user("x")).key("deadline").deadline(Duration::from_secs(30)).await;
    assert_eq!(effect(&answer), Effect::Applied, "{answer:?}");

    for way in ["cancel", "terminate"] {
        group.primary().wait_for_replica("synchronous", "sync").unwrap();
        group.other().freeze().unwrap();
        // Longer than a new connection waits for the frozen server.
        let deadline = Duration::from_secs(20);
        let add = |db: Persistence| async move {
            db.thread("t").add(NewMessage::user("x")).key(way).deadline(deadline).await
        };
        // The wait of the commit, and that of each fence transaction after it.
        let (answer, ended) = while_waits_end(&group, way, add(db.clone())).await;
        assert_eq!(effect(&answer), Effect::Unknown, "{way}: {answer:?}");
        report.fired(format!("{way} of a wait"), ended);
        // The primary has the message, and the key. No answer may rest on that before the standby has it too.
        let (answer, ended) = while_waits_end(&group, way, add(db.clone())).await;
        assert_eq!(effect(&answer), Effect::Unknown, "{way}, repeated: {answer:?}");
        report.fired(format!("{way} of the wait of a repeated call"), ended);
        let cursor = |db: Persistence| async move { db.on_consumer(cursor()).deadline(deadline).await };
        let (answer, _) = while_waits_end(&group, way, cursor(db.clone())).await;
        assert_eq!(effect(&answer), Effect::Unknown, "{way}, the first move of a cursor: {answer:?}");
        let (answer, _) = while_waits_end(&group, way, cursor(db.clone())).await;
        assert_eq!(effect(&answer), Effect::Unknown, "{way}, a move that changes nothing: {answer:?}");
        let known = |db: Persistence| async move { db.thread("t").add(known()).deadline(deadline).await };
        let (answer, _) = while_waits_end(&group, way, known(db.clone())).await;
        assert_eq!(effect(&answer), Effect::Unknown, "{way}, a refusal: {answer:?}");
        group.other().thaw().unwrap();
        // By its key it is found out, and there once.
        let answer = thread.add(NewMessage::user("x")).key(way).deadline(Duration::from_secs(30)).await;
        assert_eq!(effect(&answer), Effect::Applied, "{way}: {answer:?}");
    }

    // After a cancelled wait, the store waits again and answers after the standby has the commit.
    group.primary().wait_for_replica("synchronous", "sync").unwrap();
    let patient = open(options(), &group.url("postgres")).await;
    group.other().freeze().unwrap();
    let call = {
        let thread = patient.thread("t");
        tokio::spawn(async move { thread.add(NewMessage::user("x")).await })
    };
    while end_waits(group.primary(), "cancel") == 0 {
        tokio::task::yield_now().await;
    }
    group.other().thaw().unwrap();
    let position = call.await.unwrap().unwrap();
    report.fired("cancelled, and answered once the standby had it", 1);
    let sql = format!("SELECT count(*) FROM throughline.messages WHERE id = '{}'", position.message.id);
    group.other().wait_until(&sql, "1").unwrap();

    let all = "SELECT count(*) FROM throughline.messages";
    assert_eq!(group.primary().run("postgres", all).unwrap(), "5");
    report.finish();
    db.close().await.unwrap();
    patient.close().await.unwrap();
}
