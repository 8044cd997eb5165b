//! The list of the runs of an agent.

use throughline_core::sessions::{FailRun, Failure, ListAttempts};

use super::{agent_thread, at, begun, ran};
use crate::{check::checks, rig::Rig, shorthand::thread_id};

checks! {
    Extended "sessions.history_pages_list_each_run_once" [Session Read] "the history lists each run once, latest first, page by page" => pages;
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
