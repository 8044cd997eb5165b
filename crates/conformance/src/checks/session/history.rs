//! The list of the runs of an agent.

use throughline_core::{
    AgentId, Timestamp,
    backend::EstimatedSize as _,
    sessions::{AdoptSession, AdoptedRun, Attempt, AttemptState, FailRun, Failure, ListAttempts},
};

use super::{agent_thread, at, begun, ran};
use crate::{check::checks, checks::read::bytes::expect_bounded, rig::Rig, shorthand::thread_id};

checks! {
    Extended "sessions.history_pages_list_each_run_once" [Session Read] "the history lists each run once, latest first, page by page" => pages;
    Extended "sessions.history_ends_at_its_byte_bound" [Session Read] "the history ends at its byte bound, and the next pages list each run once" => bytes;
    Extended "sessions.history_keeps_the_failure_detail" [Session Read] "the history shows a failed run with the detail of its failure" => detail;
}

async fn pages(rig: Rig) {
    let db = rig.db().await;
    for name in ["s1", "s2", "s3", "s4", "s5"] {
        ran(&agent_thread(&db, "a"), at("r1"), name).await;
    }
    let (mut numbers, mut before) = (Vec::new(), None);
    for _ in 0..3 {
        let list = ListAttempts { before, ..ListAttempts::new("g".parse().unwrap(), thread_id("a"), 2) };
        let page = db.read(list).await.unwrap().attempts;
        assert!(page.len() <= 2);
        numbers.extend(page.iter().map(|attempt| attempt.number));
        before = numbers.last().copied();
    }
    assert_eq!(numbers, [5, 4, 3, 2, 1]);
}

async fn bytes(rig: Rig) {
    const BOUND: u32 = 16 << 10;
    let db = rig.db().await;
    let run = |number: i64| AdoptedRun {
        id: format!("run-{number}").parse().unwrap(),
        provider: "p".parse().unwrap(),
        runtime: None,
        session: None,
        work_dir: Some(format!("/{}", "x".repeat(4000)).parse().unwrap()),
        state: AttemptState::Completed,
        started_at: Timestamp::from_micros(number),
        ended_at: Some(Timestamp::from_micros(number)),
    };
    let (agent, thread) = ("g".parse::<AgentId>().unwrap(), thread_id("a"));
    let runs = (1..=10).map(run).collect();
    db.on_session(AdoptSession { agent: agent.clone(), thread: thread.clone(), pointer: None, runs })
        .await
        .unwrap();
    let (mut numbers, mut sizes) = (Vec::new(), Vec::new());
    let mut next = Some(ListAttempts::new(agent, thread, 100).with_max_bytes(BOUND));
    while let Some(list) = next {
        let page = db.read(list.clone()).await.unwrap();
        sizes.push(page.attempts.iter().map(Attempt::estimated_size).collect());
        numbers.extend(page.attempts.iter().map(|attempt| attempt.number));
        next = list.next(&page);
    }
    assert_eq!(numbers, (1..=10).rev().collect::<Vec<_>>());
    expect_bounded(&sizes, BOUND);
    assert!(sizes.len() > 2, "{sizes:?}");
}

async fn detail(rig: Rig) {
    let db = rig.db().await;
    let run = begun(&agent_thread(&db, "a"), at("r1")).await.attempt;
    let (agent, detail) = ("g".parse().unwrap(), "the reason of the failure".to_owned());
    let fail =
        FailRun::new(agent, thread_id("a"), run, Failure::ContextOverflow).with_detail(detail.as_str());
    db.on_session(fail).await.unwrap();
    let listed = agent_thread(&db, "a").history(10).await.unwrap().attempts;
    assert_eq!(listed.iter().map(|run| run.detail.clone()).collect::<Vec<_>>(), [Some(detail)]);
}
