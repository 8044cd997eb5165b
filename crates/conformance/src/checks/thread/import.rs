//! `Import`.

use std::time::Duration;

use throughline_core::{
    Content, ErrorKind, Message, MessageState, NewReservation, Persistence, Role, Seq, Timestamp,
    messages::{Batch, Import, ImportRow, Imported, ImportedRow, Reserve},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{everything, facts, id, ids, json, refused, said, the, thread_id},
};

checks! {
    Extended "imports.rows_keep_their_fields_and_order" [Import Read] "imported messages keep ids, times, metadata and state, in the order of the import" => rows;
    Extended "imports.repeated_import_adds_only_missing_messages" [Import Read] "a repeated import adds only the missing messages" => again;
    Extended "imports.existing_and_deleted_ids_are_reported" [Add Reserve Delete Import Read] "an import changes no existing message, restores no deleted one, and reports both" => differs;
    Extended "imports.restore_changes_damaged_messages_only" [Add Import Read] "an import that restores damaged messages does not change readable ones" => restores_only_damaged;
    Extended "imports.repeated_key_gets_the_first_answer" [Import Read; keys] "an import that is repeated with its key gets the first answer" => key;
    Extended "imports.summary_counts_imported_messages" [Import Thread Read] "the thread summary counts imported messages and takes its times from them" => entry_of;
    Extended "imports.500_messages_fit_into_one_import" [Import Read] "one import accepts 500 messages" => most;
    Extended "imports.target_is_one_thread_of_one_tenant" [Add Import Read] "an import affects one thread of one tenant" => tenant;
    Extended "imports.invalid_import_is_refused" [Import Read] "an import that is empty, too large, repeats an id, or is inside a batch is refused without effect" => malformed,
        core alone: "the pipeline refuses it before a store is asked";
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn row(name: &str, text: &str) -> ImportRow {
    ImportRow::new(id(name), Role::User, Content::text(text), at(7))
}

async fn import(db: &Persistence, rows: &[ImportRow]) -> Imported {
    db.run(Import::new(thread_id("t"), rows.to_vec())).await.expect("it is imported")
}

fn several() -> Vec<ImportRow> {
    let whole = ImportRow {
        metadata: facts(r#"{"n":1.10,"k":null}"#),
        attachments: vec!["b".parse().unwrap(), "a".parse().unwrap()],
        updated_at: at(99),
        ..ImportRow::new(id("whole"), Role::Assistant, json(r#"[{"type":"image","n":1.10}]"#), at(-5))
    };
    let ended = |name: &str, reason: Option<&str>| ImportRow {
        abandoned: Some(reason.map(str::to_owned)),
        ..row(name, "lost")
    };
    vec![row("z", "last by name"), whole, ended("abandoned", Some("no \u{0} reason")), ended("a", None)]
}

async fn rows(rig: Rig) {
    let db = rig.db().await;
    rig.clock.advance(Duration::from_secs(1));
    let rows = several();
    let answer = import(&db, &rows).await;
    let seqs: Vec<Seq> = answer
        .rows
        .iter()
        .map(|row| match row {
            ImportedRow::Added(seq) => *seq,
            other => panic!("{other:?} where nothing was there"),
        })
        .collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
    assert_eq!((answer.thread.as_str(), answer.deduplicated), ("t", false));
    let due: Vec<Message> =
        rows.iter().zip(&seqs).map(|(row, seq)| row.to_message(db.tenant(), &thread_id("t"), *seq)).collect();
    let read = everything(&db.thread("t")).await;
    assert_eq!(read, due);
    // Spelled out, what matters most.
    assert_eq!(ids(&read), ["z", "whole", "abandoned", "a"]);
    assert_eq!(
        (read[1].created_at, read[1].updated_at, read[1].state),
        (at(-5), at(99), MessageState::Final)
    );
    assert_eq!(
        (read[2].state, read[2].abandon_reason.as_deref()),
        (MessageState::Abandoned, Some("no \u{0} reason"))
    );
    assert_eq!((read[3].state, read[3].abandon_reason.as_deref()), (MessageState::Abandoned, None));
}

async fn again(rig: Rig) {
    let db = rig.db().await;
    let rows = several();
    import(&db, &rows[1..3]).await;
    let before = everything(&db.thread("t")).await;
    rig.clock.advance(Duration::from_secs(1));
    let answer = import(&db, &rows).await;
    let added: Vec<bool> = answer.rows.iter().map(|row| matches!(row, ImportedRow::Added(_))).collect();
    assert_eq!(added, [true, false, false, true]);
    assert_eq!(answer.rows[1..3], [&before[0], &before[1]].map(|message| ImportedRow::Present(message.seq)));
    let read = everything(&db.thread("t")).await;
    assert_eq!(ids(&read), ["whole", "abandoned", "z", "a"]);
    assert_eq!(read[..2], before);
    let third = import(&db, &rows).await;
    assert_eq!(third.added(), 0);
    let present =
        |name: &str| read.iter().find(|message| message.id.as_str() == name).map(|message| message.seq);
    let due: Vec<_> =
        rows.iter().map(|row| ImportedRow::Present(present(row.id.as_str()).unwrap())).collect();
    assert_eq!(third.rows, due);
    assert_eq!(everything(&db.thread("t")).await, read);
}

async fn differs(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["same", "role", "content", "facts", "attachments", "end", "deleted"] {
        thread.add(said(name, "x")).await.unwrap();
    }
    let open = NewReservation::new(Role::User).with_id(id("open"));
    db.run(Reserve::new(thread_id("t"), open)).await.unwrap();
    thread.delete(id("deleted")).await.unwrap();
    let before = everything(&thread).await;
    let names = ["same", "role", "content", "facts", "attachments", "end", "deleted", "open", "new"];
    let mut rows = names.map(|name| row(name, "x"));
    rows[1].role = Role::Assistant;
    rows[2].content = Content::text("y");
    rows[3].metadata = facts(r#"{"n":1}"#);
    rows[4].attachments = vec!["a".parse().unwrap()];
    rows[5].abandoned = Some(None);
    let answer = import(&db, &rows).await;
    let new = the(&thread, "new").await;
    let seq = |number: usize| before[number].seq;
    let due = [
        ImportedRow::Present(seq(0)),
        ImportedRow::Differs(seq(1)),
        ImportedRow::Differs(seq(2)),
        ImportedRow::Differs(seq(3)),
        ImportedRow::Differs(seq(4)),
        ImportedRow::Differs(seq(5)),
        ImportedRow::Gone,
        ImportedRow::Differs(seq(6)),
        ImportedRow::Added(new.seq),
    ];
    assert_eq!(answer.rows, due);
    let read = everything(&thread).await;
    assert_eq!((read[..7].to_vec(), &read[7]), (before, &new));
    assert_eq!(thread.get(id("deleted")).await.unwrap(), None);
}

async fn restores_only_damaged(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("kept", "x")).await.unwrap();
    let before = everything(&thread).await;
    let rows = vec![row("kept", "y"), row("new", "z")];
    let answer = thread.restore_damaged(rows).await.unwrap();
    let new = the(&thread, "new").await;
    assert_eq!(answer.rows, [ImportedRow::Differs(before[0].seq), ImportedRow::Added(new.seq)]);
    assert_eq!(everything(&thread).await, [before[0].clone(), new]);
}

async fn key(rig: Rig) {
    let db = rig.db().await;
    let import = |text: &str| db.run(Import::new(thread_id("t"), vec![row("m", text)])).key("k");
    let first = import("x").await.unwrap();
    let again = import("x").await.unwrap();
    assert_eq!(again, Imported { deduplicated: true, ..first });
    refused(import("y").await, ErrorKind::Conflict);
    assert_eq!(the(&db.thread("t"), "m").await.content, Content::text("x"));
}

async fn entry_of(rig: Rig) {
    let db = rig.db().await;
    rig.clock.advance(Duration::from_secs(1));
    let rows = several();
    import(&db, &rows).await;
    let entry = crate::shorthand::entry(&db, "t").await;
    let bytes = rows[..2].iter().map(|row| row.content.byte_len() as u64).sum();
    assert_eq!((entry.messages, entry.turns, entry.bytes), (2, 1, bytes));
    assert_eq!((entry.preview.as_deref(), entry.listed), (Some("last by name"), true));
    assert_eq!((entry.created_at, entry.active_at, entry.updated_at), (at(7), at(99), at(99)));
}

async fn most(rig: Rig) {
    let db = rig.db().await;
    let rows: Vec<_> = (0..Import::MAX_ROWS).map(|number| row(&format!("m{number}"), "x")).collect();
    assert_eq!(import(&db, &rows).await.added(), 500);
    let read = everything(&db.thread("t")).await;
    assert!(read.iter().map(|message| &message.id).eq(rows.iter().map(|row| &row.id)));
}

async fn tenant(rig: Rig) {
    let db = rig.db().await;
    let other = db.for_tenant("other".parse().unwrap());
    for thread in [db.thread("u"), other.thread("t")] {
        thread.add(said("m", "theirs")).await.unwrap();
    }
    let answer = import(&db, &[row("m", "ours")]).await;
    assert_eq!(answer.added(), 1);
    assert_eq!(the(&db.thread("t"), "m").await.content, Content::text("ours"));
    for thread in [db.thread("u"), other.thread("t")] {
        let read = everything(&thread).await;
        assert_eq!((ids(&read), &read[0].content), (vec!["m"], &Content::text("theirs")));
    }
}

async fn malformed(rig: Rig) {
    let db = rig.db().await;
    let too_many: Vec<_> = (0..501).map(|number| row(&format!("m{number}"), "x")).collect();
    for rows in [vec![], too_many, vec![row("m", "x"), row("n", "x"), row("m", "x")]] {
        refused(db.run(Import::new(thread_id("t"), rows)).await, ErrorKind::Invalid);
    }
    let batch = Batch::new().with(Import::new(thread_id("t"), vec![row("m", "x")]));
    let error = refused(db.batch(batch).await, ErrorKind::Invalid);
    assert_eq!(error.batch_index(), Some(0));
    assert_eq!(everything(&db.thread("t")).await, []);
}
