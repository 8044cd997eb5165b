//! A prompt with its answers, the expected last message of a write, and the history for a model.

use throughline_core::{
    Content, Effect, ErrorKind, MessageState, NewMessage, NewReservation, NewTurn, Role, Seq,
    messages::{Add, Batch, Recalled, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, thread_id},
    tap::{Fault, Faults},
};

checks! {
    Extended "turns.appended_as_a_whole" [Add Batch Read] "a turn is a prompt with its answers, and it is stored completely or not at all" => whole;
    Extended "turns.repeated_key_is_not_appended_twice" [Add Batch Read; keys] "a turn that is repeated with its key gets the stored answer and is not appended again" => again;
    Extended "turns.lost_answer_is_replayed_by_key" ("RR-S5") [Add Batch Read; keys] "a turn whose answer was lost is stored once and replayed when it is sent again with its key" => answer_lost;
    Extended "turns.append_after_another_last_message_is_stale" [Add Batch Read] "a write that expects another last message is stale, alone and in a turn" => after;
    Extended "drafts.reservation_after_another_last_message_is_stale" [Add Reserve Read] "a reservation that expects another last message is stale" => after_reserved;
    Extended "turns.history_holds_final_messages_only" [Add Reserve UpdateContent Read] "a history holds final messages only and reports correctly whether more exist" => history;
}

fn turn(names: [&str; 3]) -> NewTurn {
    let [question, one, other] = names.map(|name| NewMessage::assistant(name).with_id(id(name)));
    NewTurn::new(said(question.id().expect("an id").as_str(), "why?")).answered(one).answered(other)
}

async fn whole(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let added = thread.append_turn(turn(["a", "b", "c"])).await.unwrap();
    assert_eq!(
        (added.prompt.id.as_str(), ids(&added.answers), added.deduplicated),
        ("a", vec!["b", "c"], false)
    );
    let read = everything(&thread).await;
    assert_eq!(read, [vec![added.prompt], added.answers].concat());
    // The second answer is there already: nothing of the turn is added.
    let error = refused(thread.append_turn(turn(["d", "e", "a"])).await, ErrorKind::AlreadyExists);
    assert_eq!(error.batch_index(), Some(2));
    assert_eq!(everything(&thread).await, read);
}

async fn again(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = thread.append_turn(turn(["a", "b", "c"])).key("k").await.unwrap();
    let second = thread.append_turn(turn(["a", "b", "c"])).key("k").await.unwrap();
    assert_eq!((&second.prompt, &second.answers, second.deduplicated), (&first.prompt, &first.answers, true));
    refused(thread.append_turn(turn(["a", "b", "d"])).key("k").await, ErrorKind::Conflict);
    assert_eq!(ids(&everything(&thread).await), ["a", "b", "c"]);
}

async fn answer_lost(rig: Rig) {
    let faults = Faults::new();
    let db = rig.builder().backend(rig.tapped(&faults).await).build().unwrap();
    let thread = db.thread("t");
    let send = || thread.append_turn(turn(["a", "b", "c"])).key("k");
    // The store was not reached: nothing of the turn is there.
    faults.next(Fault::Unreachable, 1);
    assert_eq!(send().await.unwrap_err().effect(), Effect::NotApplied);
    assert_eq!(everything(&thread).await, []);
    faults.next(Fault::AnswerLost, 1);
    assert_eq!(send().await.unwrap_err().effect(), Effect::Unknown);
    let sent = send().await.unwrap();
    assert_eq!((ids(&sent.answers), sent.deduplicated), (vec!["b", "c"], true));
    assert_eq!(everything(&thread).await, [vec![sent.prompt], sent.answers].concat());
}

async fn after(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    // An empty thread ends at 0.
    refused(thread.add(said("x", "x").after(Seq::FIRST)).await, ErrorKind::Stale);
    let first = thread.add(said("a", "x").after(Seq::ZERO)).await.unwrap().message.seq;
    refused(thread.add(said("x", "x").after(Seq::ZERO)).await, ErrorKind::Stale);
    refused(thread.append_turn(turn(["x", "y", "z"]).after(Seq::ZERO)).await, ErrorKind::Stale);
    let next = first.next();
    let ahead = Batch::new()
        .with(Add::new(thread_id("t"), said("x", "x")))
        .with(Add::new(thread_id("t"), said("y", "x").after(first)));
    assert_eq!(refused(db.batch(ahead).await, ErrorKind::Stale).batch_index(), Some(1));
    assert_eq!(ids(&everything(&thread).await), ["a"]);
    let turn = thread.append_turn(turn(["b", "c", "d"]).after(first)).await.unwrap();
    assert_eq!(turn.prompt.seq, next);
    // Where another thread ends is nothing to this one.
    db.thread("u").add(said("a", "x").after(Seq::ZERO)).await.unwrap();
    assert_eq!(ids(&everything(&thread).await), ["a", "b", "c", "d"]);
}

async fn after_reserved(rig: Rig) {
    let db = rig.db().await;
    let last = db.thread("t").add(said("a", "x")).await.unwrap().message.seq;
    let reserve = |after| {
        let row = NewReservation::new(Role::Assistant).with_id(id("r")).after(after);
        db.run(Reserve::new(thread_id("t"), row))
    };
    refused(reserve(Seq::ZERO).await, ErrorKind::Stale);
    assert_eq!(reserve(last).await.unwrap().message.seq, last.next());
}

async fn history(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for n in 1..=60 {
        thread.add(said(&format!("m{n}"), "x")).await.unwrap();
    }
    for (name, mode) in [("open", None), ("left", Some(UpdateMode::Abandon { reason: None }))] {
        let row = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
        if let Some(mode) = mode {
            thread.update_content(id(name), append("x"), mode).await.unwrap();
        }
    }
    let calls = r#"[{"type":"tool_use","id":"c"},{"type":"tool_result","tool_use_id":"d"}]"#;
    thread
        .add(NewMessage::new(Role::Assistant, Content::from_json(calls).unwrap()).with_id(id("calls")))
        .await
        .unwrap();
    let reported = thread.history(None, 3).await.unwrap();
    assert_eq!((ids(&reported.messages), reported.has_more), (vec!["m59", "m60", "calls"], true));
    assert!(reported.messages.iter().all(|message| message.state == MessageState::Final));
    let orphans: Vec<&str> =
        reported.tool_calls.iter().filter(|call| call.is_orphan()).map(|call| &*call.id).collect();
    assert_eq!(orphans, ["c", "d"]);
    let all = thread.history(None, u32::MAX).await.unwrap();
    assert_eq!((all.messages.len(), all.has_more), (61, false));

    // The newest messages first, with a clamped limit, before a seq.
    let recalled = thread.recall(None, 0).await.unwrap();
    assert_eq!((ids(&recalled.messages), recalled.has_more), (vec!["calls"], true));
    let most = thread.recall(None, 999).await.unwrap();
    assert_eq!((most.messages.len(), most.has_more), (Recalled::MAX_LIMIT as usize, true));
    let before = thread.recall(Some(Seq::new(3)), 10).await.unwrap();
    assert_eq!((ids(&before.messages), before.has_more), (vec!["m2", "m1"], false));
    assert!(thread.recall(Some(Seq::FIRST), 10).await.unwrap().messages.is_empty());
}
