//! Several handles and several processes on one store.

use std::{collections::BTreeMap, time::Duration};

use throughline_core::{
    Content, ErrorKind, MessageState, NewMessage, NewReservation, Persistence, Role, Seq,
    messages::{Reserve, UpdateMode},
    threads::LabelPatch,
};

use crate::{
    check::checks,
    child::{Process, Role as Task},
    rig::Rig,
    shorthand::{append, entry, everything, id, ids, new_thread, position, refused, said, the, title},
};

checks! {
    Extended "processes.acknowledged_writes_are_visible_to_others" [Add UpdateContent Delete Read; durable processes] "a write that one handle acknowledges is visible to the other handle" => see;
    Extended "processes.second_update_of_a_revision_is_refused" [Reserve UpdateContent Read; durable processes] "when two handles update the same revision, one of them is refused" => revision;
    Extended "processes.concurrent_reservations_share_one_row" ("VL-S15") [Reserve Read; keys durable processes threads] "two handles that reserve with the same key at the same time get the same message" => one_slot;
    Extended "processes.concurrent_recovery_settles_each_draft_once" ("VL-S14") [Reserve UpdateContent Read; durable processes threads] "two handles that recover expired drafts at the same time settle each message once" => recoveries;
    Extended "processes.seq_order_is_commit_order" ("VL-S23") [Add Read; durable processes] "messages of two writing processes are in commit order, and pages neither repeat nor skip any" => writers;
    Extended "processes.alternating_writes_keep_the_thread_summary" [Add Thread Read; durable processes] "two handles that write to a thread in turn do not undo each other's summary changes" => entries;
    Extended "processes.concurrent_turns_are_all_kept" ("RR-S3") [Add Batch Thread Read; durable processes] "when two processes append turns concurrently, every turn is whole and the summary counts it" => turns;
    Extended "durability.crashed_process_does_not_block_others" [Add Read; keys durable processes] "a killed process does not block another process that uses the same store" => neighbour;
}

async fn two(rig: &Rig) -> [Persistence; 2] {
    [rig.db().await, rig.db().await]
}

async fn see(rig: Rig) {
    let [one, other] = two(&rig).await;
    let (ours, theirs) = (one.thread("t"), other.thread("t"));
    let mut last = throughline_core::Position::ZERO;
    for number in 0..10 {
        let name = format!("m{number}");
        let (writer, reader) = if number % 2 == 0 { (&ours, &theirs) } else { (&theirs, &ours) };
        let added = writer.add(said(&name, "a")).reply().await.unwrap();
        assert!(position(&added) > last, "positions are the store's, not the handle's");
        last = position(&added);
        assert_eq!(the(reader, &name).await, added.output.message);
        reader.edit(id(&name), Content::text("b")).await.unwrap();
        assert_eq!(the(writer, &name).await.content, Content::text("b"));
        assert_eq!(everything(writer).await, everything(reader).await);
    }
    theirs.delete(id("m0")).await.unwrap();
    refused(ours.add(said("m0", "x")).await, ErrorKind::Gone);
    assert_eq!(everything(&ours).await.len(), 9);
}

async fn revision(rig: Rig) {
    let [one, other] = two(&rig).await;
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    let seen = one.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap().message.revision;
    let append = |db: &Persistence, text: &str| {
        let thread = "t".parse().unwrap();
        let update = throughline_core::messages::UpdateContent::new(
            thread,
            id("m"),
            append(text),
            UpdateMode::Partial,
        );
        db.run(update.expecting(seen))
    };
    append(&one, "first").await.unwrap();
    refused(append(&other, "second").await, ErrorKind::Stale);
    assert_eq!(the(&other.thread("t"), "m").await.content, Content::text("first"));
}

async fn one_slot(rig: Rig) {
    let handles = two(&rig).await;
    for round in 0..10 {
        let calls = handles.clone().map(|db| {
            tokio::spawn(async move {
                let reserve = Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant));
                db.run(reserve).key(format!("slot {round}")).await.expect("busy is the backend's to wait out")
            })
        });
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.expect("no panic"));
        }
        assert_eq!(answers[0].message, answers[1].message);
        assert_ne!(answers[0].deduplicated, answers[1].deduplicated);
        assert_eq!(everything(&handles[0].thread("t")).await.len(), round + 1);
    }
}

async fn recoveries(rig: Rig) {
    const MESSAGES: usize = 16;
    let handles = two(&rig).await;
    for number in 0..MESSAGES {
        let reservation = NewReservation::new(Role::Assistant).with_id(id(&format!("m{number}")));
        handles[number % 2].run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    }
    rig.clock.advance(Duration::from_secs(3600));
    let recoveries = handles
        .clone()
        .map(|db| tokio::spawn(async move { db.recover_expired_drafts("recovered").await.unwrap() }));
    let mut settled = 0;
    for recovery in recoveries {
        let recovered = recovery.await.expect("no panic");
        assert!(recovered.failed.is_empty(), "{:?}", recovered.failed);
        settled += recovered.abandoned.len();
    }
    assert_eq!(settled, MESSAGES);
    let read = everything(&handles[1].thread("t")).await;
    assert_eq!(read.len(), MESSAGES);
    for message in read {
        assert_eq!((message.state, message.revision.get()), (MessageState::Abandoned, 2));
    }
}

async fn writers(rig: Rig) {
    const EACH: u32 = 40;
    // The file is made first: the processes are to meet in writing, not in making it.
    let db = rig.db().await;
    let mut processes =
        [Process::start(&rig, Task::Writer(1, EACH)), Process::start(&rig, Task::Writer(2, EACH))];
    for process in &mut processes {
        assert_eq!(process.ack().await, "ready");
    }
    for process in &mut processes {
        process.go();
    }
    // A reader in the middle: a cursor that moves forward only must see every message in the end.
    let thread = db.thread("t");
    let (mut seen, mut cursor) = (Vec::new(), Seq::ZERO);
    let mut seqs = BTreeMap::new();
    for process in processes {
        for line in process.end().await {
            let (seq, name) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(' ')).expect("an ack");
            let before = seqs.insert(seq.parse::<u64>().expect("a seq"), name.to_owned());
            assert_eq!(before, None, "the seq {seq} was assigned twice");
        }
        loop {
            let page = thread.page(throughline_core::messages::PageFrom::After(cursor), 7).await.unwrap();
            let Some(last) = page.messages.last() else { break };
            cursor = last.seq;
            seen.extend(page.messages);
        }
    }
    assert_eq!(seen.len(), 2 * EACH as usize);
    let order: Vec<&str> = seqs.values().map(String::as_str).collect();
    assert_eq!(ids(&seen), order, "the order is that of the acknowledged seqs");
    for number in ["1.", "2."] {
        let own: Vec<_> = order.iter().filter_map(|name| name.strip_prefix(number)).collect();
        let expected: Vec<_> = (0..EACH).map(|message| message.to_string()).collect();
        assert_eq!(own, expected, "each process's own are in its own order");
    }
}

async fn entries(rig: Rig) {
    let handles = two(&rig).await;
    handles[0].create_thread(new_thread("t")).await.unwrap();
    for round in 0..6_u64 {
        let (one, other) = (&handles[round as usize % 2], &handles[(round as usize + 1) % 2]);
        let name = format!("title {round}");
        // Both have seen the thread, and each changes it behind the other's back.
        one.thread("t").add(said(&format!("m{round}"), "x")).await.unwrap();
        other.thread("t").rename(title(&name)).await.unwrap();
        let labels = LabelPatch::new().set("round", &round.to_string()).unwrap();
        one.thread("t").label(labels).await.unwrap();
        other.thread("t").add(said(&format!("n{round}"), "x")).await.unwrap();
        let entry = entry(one, "t").await;
        assert_eq!((entry.title.as_str(), entry.messages), (&*name, 2 * round + 2));
        assert_eq!(entry.labels.get("round").map(ToString::to_string), Some(round.to_string()));
    }
}

async fn turns(rig: Rig) {
    const EACH: u32 = 50;
    let db = rig.db().await;
    let mut processes =
        [Process::start(&rig, Task::AppendTurns(EACH)), Process::start(&rig, Task::AppendTurns(EACH))];
    for process in &mut processes {
        assert_eq!(process.ack().await, "ready");
    }
    for process in &mut processes {
        process.go();
    }
    let mut seqs = Vec::new();
    for process in processes {
        for line in process.end().await {
            let (question, answer) =
                line.strip_prefix("ack ").and_then(|ack| ack.split_once(' ')).expect("an ack");
            let (question, answer): (u64, u64) = (question.parse().unwrap(), answer.parse().unwrap());
            assert_eq!(answer, question + 1, "nothing came between a question and its answer");
            seqs.extend([question, answer]);
        }
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=4 * u64::from(EACH)).collect::<Vec<_>>());
    let roles: Vec<Role> = everything(&db.thread("t")).await.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant].repeat(2 * EACH as usize));
    let entry = entry(&db, "t").await;
    assert_eq!((entry.messages, entry.turns), (4 * u64::from(EACH), 2 * u64::from(EACH)));
}

async fn neighbour(rig: Rig) {
    let db = rig.db().await;
    let mut process = Process::start(&rig, Task::Adds);
    for _ in 0..5 {
        process.ack().await;
        db.thread("u").add(NewMessage::user("x")).await.expect("both write");
    }
    process.kill().await;
    for _ in 0..5 {
        db.thread("u").add(NewMessage::user("x")).await.expect("it goes on");
    }
    assert_eq!(everything(&db.thread("u")).await.len(), 10);
    assert!(everything(&db.thread("t")).await.len() >= 5);
}
