//! Verification detects a random edit of the file by a program without the audit key.

use std::{fs, path::Path};

use fastrand::Rng;
use rusqlite::{Connection, ToSql, params_from_iter, types::Value};
use throughline_core::{
    Labels, MetadataPatch, NewMessage, NewThread, Role,
    changes::MoveCursor,
    messages::{Add, Batch, Delete, Origin},
    sessions::{Claimer, Runtime},
    threads::ListThreads,
};
use throughline_layers::audit::verify;
use throughline_reliability::{Report, scaled, worker::audit_key};
use throughline_sqlite::SqliteBackend;

use super::{attacks::tampered, open};

/// The edits that verification may miss, as `table.column`, or as `table` for a missing or duplicated row. The guide of the
/// audit log lists them too. None of them is an edit of content or of an audit record.
const NOT_PROMISED: &[&str] = &[
    // Another key of a row without references, a missing row, or an additional row without references.
    "aliases",
    "aliases.alias_pk",
    "consumers",
    "consumers.consumer_pk",
    "idempotency",
    "idempotency.record_pk",
    "session_attempts",
    "session_attempts.attempt_pk",
    // Columns that lists are filtered and ordered by. The checksums of the message and of the thread summary do not cover them.
    "catalog.tenant",
    "labels.tenant",
    // The change of an append, which its audit record does not cover.
    "changes of an append",
];

/// The code of the change kind of an append in the file.
const APPENDED: i64 = 3;

/// The full-text index derives from the messages, so that a rebuild repairs it.
const NOT_PROMISED_OF: &str = "search_";

/// A store with something in every table.
async fn furnish(path: &Path) {
    let db = open(path).await.with_actor("alice");
    let other = db.for_tenant("other".parse().unwrap());
    for db in [&db, &other] {
        let new = NewThread::new().with_id("t".parse().unwrap()).with_title("A title".parse().unwrap());
        db.create_thread(new.with_labels(Labels::new().with("project", "atlas").unwrap())).await.unwrap();
        let thread = db.thread("t");
        for number in 0..6 {
            let message = NewMessage::user("hello").with_id(format!("m{number}").parse().unwrap());
            thread
                .add(message.with_attachments(["a.png".parse().unwrap()]))
                .key(format!("k{number}"))
                .await
                .unwrap();
        }
        thread.update("m1".parse().unwrap(), MetadataPatch::new().set("fact", "x").unwrap()).await.unwrap();
        thread.delete("m2".parse().unwrap()).await.unwrap();
        thread
            .resolve_id(Origin::new().in_turn("turn".parse().unwrap()).item("item".parse().unwrap()))
            .await
            .unwrap();
        let mut draft = thread.reserve(Role::Assistant).await.unwrap();
        draft.append("some words").await.unwrap();
        draft.flush().await.unwrap();
        drop(draft);
        // It has a record of a rejected call.
        thread.delete("m2".parse().unwrap()).await.unwrap_err();
        let add = |thread: &str| Add::new(thread.parse().unwrap(), NewMessage::user("hello"));
        let delete = Delete::new("t".parse().unwrap(), "m3".parse().unwrap());
        db.batch(Batch::new().with(add("t")).with(add("u")).with(delete)).await.unwrap();
        let agent = db.agent("coder").on("t");
        let claimer = Claimer::new(
            "claude".parse().unwrap(),
            Runtime::new("laptop".parse().unwrap(), "root".parse().unwrap()),
        );
        agent.begin(agent.run(claimer).unwrap()).await.unwrap();
        let position = db.threads(ListThreads::new(1)).await.unwrap().position;
        db.on_consumer(MoveCursor::new("index".parse().unwrap(), position)).await.unwrap();
        db.write_audit_records().await.unwrap();
    }
    db.close().await.unwrap();
}

/// One edit of a table: of one value in a column, or of a row.
struct Edit {
    table: String,
    column: Option<String>,
    description: String,
}

impl Edit {
    fn is_not_promised(&self) -> bool {
        if self.table.starts_with(NOT_PROMISED_OF) {
            return true;
        }
        let value = self.column.as_ref().map(|column| format!("{}.{column}", self.table));
        NOT_PROMISED.iter().any(|of| *of == value.as_deref().unwrap_or(&self.table))
    }
}

/// A row, by all of its columns.
fn is_row(columns: &[String]) -> String {
    let equal: Vec<String> =
        columns.iter().enumerate().map(|(n, name)| format!("\"{name}\" IS ?{}", n + 1)).collect();
    equal.join(" AND ")
}

fn names(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Edits a random value or row. Returns `None` if the schema refuses the edit, or if the edit changes nothing.
fn edit(db: &Connection, random: &mut Rng) -> Option<Edit> {
    // The rows of `search` are in its tables `search_…`: it has no content that a statement can read.
    let tables = names(
        db,
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'search' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '%_history%' ORDER BY name",
    );
    let filled: Vec<&String> = tables
        .iter()
        .filter(|table| {
            db.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {table})"), [], |row| row.get(0)).unwrap()
        })
        .collect();
    // Half of the edits are of the audit log and of the tables that verification compares with it.
    let of_log = ["audit", "changes", "store"];
    let mut table = if random.bool() {
        of_log[random.usize(..of_log.len())].to_owned()
    } else {
        filled[random.usize(..filled.len())].clone()
    };
    let columns = names(db, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
    let rows: i64 = db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
    let row = |at: i64| -> Vec<Value> {
        let sql = format!("SELECT * FROM {table} LIMIT 1 OFFSET {at}");
        db.query_row(&sql, [], |row| (0..columns.len()).map(|n| row.get(n)).collect()).unwrap()
    };
    let mut picked = row(random.i64(0..rows));
    let (column, description, changed) = match random.u32(..6) {
        0 => {
            let sql = format!("DELETE FROM {table} WHERE {}", is_row(&columns));
            let deleted = db.execute(&sql, params_from_iter(&picked));
            let kind = columns.iter().position(|column| column == "kind").map(|at| &picked[at]);
            if table == "changes" && kind == Some(&Value::Integer(APPENDED)) {
                table.push_str(" of an append");
            }
            (None, "deleted".to_owned(), deleted)
        }
        1 => {
            // A duplicate of the row, with another key if the key is a number.
            if let Value::Integer(number) = &mut picked[0] {
                *number += random.i64(1..=rows);
            }
            let parameters: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
            let sql = format!("INSERT INTO {table} VALUES ({})", parameters.join(", "));
            (None, "doubled".to_owned(), db.execute(&sql, params_from_iter(&picked)))
        }
        how => {
            let at = random.usize(..columns.len());
            let value =
                if how == 2 { row(random.i64(0..rows))[at].clone() } else { another(&picked[at], random) };
            let description = format!("{:?} to {value:?}", picked[at]);
            let sql = format!(
                "UPDATE {table} SET \"{}\" = ?{} WHERE {}",
                columns[at],
                columns.len() + 1,
                is_row(&columns)
            );
            let is_equal = value == picked[at];
            let values: Vec<&dyn ToSql> =
                picked.iter().chain([&value]).map(|value| value as &dyn ToSql).collect();
            let changed = if is_equal { Ok(0) } else { db.execute(&sql, &*values) };
            (Some(columns[at].clone()), description, changed)
        }
    };
    (changed.unwrap_or_default() > 0).then_some(Edit { table, column, description })
}

/// Another value of the same sort.
fn another(value: &Value, random: &mut Rng) -> Value {
    let flip = |bytes: &[u8], random: &mut Rng| {
        let mut bytes = bytes.to_vec();
        if bytes.is_empty() {
            bytes.push(b'x');
        } else {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1;
        }
        bytes
    };
    match value {
        Value::Null => Value::Integer(1),
        Value::Integer(number) if random.bool() => Value::Integer(number ^ (1 << random.u32(..40))),
        Value::Integer(number) => Value::Integer(number.wrapping_add(random.i64(-2..=2))),
        Value::Real(number) => Value::Real(number + 1.0),
        Value::Text(text) => match String::from_utf8(flip(text.as_bytes(), random)) {
            Ok(text) => Value::Text(text),
            Err(_) => Value::Text(format!("{text}x")),
        },
        Value::Blob(blob) => Value::Blob(flip(blob, random)),
    }
}

/// Whether the edit is found: when the store is opened, by the host with the key, or by the check of the file.
async fn is_found(path: &Path) -> bool {
    let Ok(backend) = SqliteBackend::open(path).await else { return true };
    let is_sound = backend.maintenance().verify().await.is_ok_and(|found| found.is_sound());
    drop(backend);
    if !is_sound {
        return true;
    }
    let db = open(path).await;
    let report = verify(&db, &audit_key(), &[]).await;
    db.close().await.unwrap();
    !report.is_ok_and(|report| report.is_intact())
}

#[tokio::test]
async fn rel_36_verification_detects_each_promised_random_edit_of_the_file() {
    let mut report = Report::new("REL-36 random edits");
    let mut random = report.random();
    let directory = tempfile::tempdir().unwrap();
    let (whole, edited) = (directory.path().join("chat.db"), directory.path().join("edited.db"));
    furnish(&whole).await;
    assert!(!is_found(&whole).await, "an untouched store is sound");
    let (mut edits, mut missed) = (0, Vec::new());
    while edits < scaled(150) {
        for file in ["edited.db", "edited.db-wal", "edited.db-shm"] {
            drop(fs::remove_file(directory.path().join(file)));
        }
        fs::copy(&whole, &edited).unwrap();
        let mut made = None;
        tampered(&edited, |db| made = edit(db, &mut random));
        let Some(made) = made else { continue };
        edits += 1;
        report.fired(&made.table, 1);
        if !made.is_not_promised() && !is_found(&edited).await {
            missed.push(format!(
                "{}.{}: {}",
                made.table,
                made.column.as_deref().unwrap_or("(row)"),
                made.description
            ));
        }
    }
    assert!(missed.is_empty(), "{} of {edits} edits were not found: {missed:#?}", missed.len());
    report.finish();
}
