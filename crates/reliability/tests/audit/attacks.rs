//! Attacks on the audit log by a party with write access to the file but without the key.

use std::{fs, path::Path};

use rusqlite::{Connection, params};
use tempfile::TempDir;
use throughline_core::{
    NewMessage, Position,
    audit::{AuditDigest, AuditEntry, AuditNumber},
};
use throughline_layers::audit::{Anchor, AuditReport, Flaw, anchor, verify};
use throughline_reliability::{Report, worker::audit_key};
use throughline_sqlite::{Part, SqliteBackend};

use super::open;

/// A store with ten writes, and the anchors that its host keeps elsewhere.
struct Scene {
    directory: TempDir,
    /// After five records, and after ten.
    anchors: [Anchor; 2],
}

impl Scene {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let db = open(&path).await;
        write(&path, 0..5).await;
        let five = anchor(&db, &audit_key()).await.unwrap();
        write(&path, 5..10).await;
        let ten = anchor(&db, &audit_key()).await.unwrap();
        db.close().await.unwrap();
        Self { directory, anchors: [five, ten] }
    }

    /// Applies an attack to a copy. Returns the reports without the anchors and with them.
    async fn attacked(&self, attack: impl AsyncFnOnce(&Path)) -> [AuditReport; 2] {
        let path = self.directory.path().join("attacked.db");
        for file in ["attacked.db-wal", "attacked.db-shm"] {
            drop(fs::remove_file(self.directory.path().join(file)));
        }
        fs::copy(self.directory.path().join("chat.db"), &path).unwrap();
        attack(&path).await;
        let db = open(&path).await;
        let without = verify(&db, &audit_key(), &[]).await.unwrap();
        let with = verify(&db, &audit_key(), &self.anchors).await.unwrap();
        db.close().await.unwrap();
        [without, with]
    }
}

/// Writes as the honest process.
async fn write(path: &Path, numbers: std::ops::Range<u32>) {
    let db = open(path).await.with_actor("alice");
    for number in numbers {
        let message = NewMessage::user("hello").with_id(format!("m{number}").parse().unwrap());
        db.thread("t").add(message).await.unwrap();
    }
    db.close().await.unwrap();
}

/// Drops the triggers, applies an attack, and restores the triggers: the store opens as before.
pub(super) fn tampered(path: &Path, how: impl FnOnce(&Connection)) {
    let db = Connection::open(path).unwrap();
    let triggers: Vec<(String, String)> = db
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    // Three of the audit log and two of the full-text index.
    assert_eq!(triggers.len(), 5);
    for (name, _) in &triggers {
        db.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    how(&db);
    for (_, sql) in &triggers {
        db.execute_batch(sql).unwrap();
    }
}

/// Replaces a text in the body of the record `number`.
fn edit(db: &Connection, number: i64, from: &str, to: &str) {
    let changed = db
        .execute("UPDATE audit SET body = replace(body, ?2, ?3) WHERE number = ?1", params![number, from, to])
        .unwrap();
    assert_eq!(changed, 1);
}

fn run(db: &Connection, sql: &str) {
    db.execute_batch(sql).unwrap();
}

/// Rewrites the whole chain like the honest store, but without the key.
fn rewrite(db: &Connection) {
    let rows: Vec<(i64, Vec<u8>)> = db
        .prepare("SELECT number, body FROM audit ORDER BY number")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?.into_bytes())))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let mut before = AuditDigest::ZERO;
    for (number, body) in rows {
        let mut entry = AuditEntry::from_kept(&body, AuditDigest::ZERO).unwrap();
        entry.record.actor = Some("mallory".to_owned());
        entry.previous = before;
        // Any hash will do without the key.
        let mut hash = [0; 32];
        fastrand::fill(&mut hash);
        entry.hash = AuditDigest::from_bytes(hash);
        before = entry.hash;
        db.execute(
            "UPDATE audit SET body = ?2, hash = ?3 WHERE number = ?1",
            params![number, entry.body(), entry.hash.as_bytes().as_slice()],
        )
        .unwrap();
    }
}

fn at(number: u64) -> AuditNumber {
    AuditNumber::new(number)
}

#[tokio::test]
async fn rel_36_verification_detects_seven_attacks() {
    let mut report = Report::new("REL-36 attacks");
    let scene = Scene::new().await;

    let untouched = scene.attacked(async |_| {}).await;
    assert!(untouched.iter().all(AuditReport::is_intact), "{untouched:?}");
    assert_eq!(
        untouched.each_ref().map(|report| (report.intact, report.anchored)),
        [(at(10), at(0)), (at(10), at(10))]
    );
    assert_eq!(untouched[0].comparison.as_ref().unwrap().changes, 10);

    let mut found = |attack: &str, reports: &[AuditReport; 2], without: Option<Flaw>, with: Flaw| {
        assert_eq!((reports[0].flaw, reports[1].flaw), (without, Some(with)), "{attack}");
        report.fired(attack, 1);
    };

    let reports = scene.attacked(async |path| tampered(path, |db| edit(db, 4, "alice", "mallory"))).await;
    found("edited", &reports, Some(Flaw::Edited { number: at(4) }), Flaw::Edited { number: at(4) });
    assert_eq!((reports[1].intact, reports[1].anchored), (at(3), at(0)));

    let gap =
        scene.attacked(async |path| tampered(path, |db| run(db, "DELETE FROM audit WHERE number = 4"))).await;
    found("deleted", &gap, Some(Flaw::Missing { number: at(4) }), Flaw::Missing { number: at(4) });
    let closed = "DELETE FROM audit WHERE number = 4; UPDATE audit SET number = number - 1 WHERE number > 4";
    let closed = scene.attacked(async |path| tampered(path, |db| run(db, closed))).await;
    found(
        "deleted and closed up",
        &closed,
        Some(Flaw::Missing { number: at(4) }),
        Flaw::Missing { number: at(4) },
    );

    let swap = "UPDATE audit SET number = -4 WHERE number = 4; UPDATE audit SET number = 4 WHERE number = 6; \
                UPDATE audit SET number = 6 WHERE number = -4";
    let reports = scene.attacked(async |path| tampered(path, |db| run(db, swap))).await;
    let flaw = Flaw::OutOfOrder { number: at(4), found: at(6) };
    found("reordered", &reports, Some(flaw), flaw);

    let gap = "UPDATE audit SET number = -number - 1 WHERE number >= 4; UPDATE audit SET number = -number WHERE number < 0;";
    let again = format!(
        "{gap} INSERT INTO audit SELECT 4, tenant, thread, checksum, hash, body FROM audit WHERE number = 3"
    );
    let reports = scene.attacked(async |path| tampered(path, |db| run(db, &again))).await;
    let flaw = Flaw::OutOfOrder { number: at(4), found: at(3) };
    found("inserted again", &reports, Some(flaw), flaw);
    let forged = format!("{again}; UPDATE audit SET body = replace(body, 'm2', 'm9') WHERE number = 4");
    let reports = scene.attacked(async |path| tampered(path, |db| run(db, &forged))).await;
    found("inserted", &reports, Some(Flaw::Edited { number: at(4) }), Flaw::Edited { number: at(4) });

    // The attacker removes records without and with adjusting the count of the store.
    let only_cut = "DELETE FROM audit WHERE number > 7";
    let reports = scene.attacked(async |path| tampered(path, |db| run(db, only_cut))).await;
    let miscounted = Flaw::Miscounted { count: at(7), written: at(10) };
    found("truncated", &reports, Some(miscounted), Flaw::Truncated { count: at(7), anchored: at(10) });
    let cut = "DELETE FROM audit WHERE number > 7; UPDATE store SET audit = 7, audit_hash = (SELECT hash FROM audit WHERE number = 7)";
    let reports = scene.attacked(async |path| tampered(path, |db| run(db, cut))).await;
    found("truncated with the count", &reports, None, Flaw::Truncated { count: at(7), anchored: at(10) });
    // An attacker who only truncates the audit log leaves the change feed, which still has the changes.
    assert_eq!(reports[0].comparison.as_ref().unwrap().without_entry, 3);

    let reports = scene
        .attacked(async |path| {
            tampered(path, |db| run(db, cut));
            write(path, 20..25).await;
        })
        .await;
    found("truncated and gone on", &reports, None, Flaw::Rewritten { after: at(5), by: at(10) });
    assert_eq!(reports[1].intact, at(5));

    let reports = scene.attacked(async |path| tampered(path, rewrite)).await;
    found(
        "rewritten without the key",
        &reports,
        Some(Flaw::Edited { number: at(1) }),
        Flaw::Edited { number: at(1) },
    );
    let reports = scene
        .attacked(async |path| {
            fs::remove_file(path).unwrap();
            write(path, 0..12).await;
        })
        .await;
    found("rewritten by the holder of the key", &reports, None, Flaw::Rewritten { after: at(0), by: at(5) });

    let reports = scene.attacked(async |path| tampered(path, |db| run(db, "DELETE FROM audit"))).await;
    let miscounted = Flaw::Miscounted { count: at(0), written: at(10) };
    found(
        "all of it deleted",
        &reports,
        Some(miscounted),
        Flaw::Truncated { count: at(0), anchored: at(10) },
    );
    let all = "DELETE FROM audit; UPDATE store SET audit = 0, audit_hash = zeroblob(32)";
    let reports = scene.attacked(async |path| tampered(path, |db| run(db, all))).await;
    let absent = Flaw::Absent { position: Position::new(10) };
    found(
        "all of it deleted with the count",
        &reports,
        Some(absent),
        Flaw::Truncated { count: at(0), anchored: at(10) },
    );
    assert_eq!(reports[0].comparison.as_ref().unwrap().without_entry, 10);

    // The record stays, but is no longer found by its tenant or its thread.
    for column in ["tenant = 'other'", "thread = 'other'", "thread = NULL"] {
        let hide = format!("UPDATE audit SET {column} WHERE number = 4");
        let reports = scene.attacked(async |path| tampered(path, |db| run(db, &hide))).await;
        found(&hide, &reports, Some(Flaw::Edited { number: at(4) }), Flaw::Edited { number: at(4) });
    }
    report.finish();
}

#[tokio::test]
async fn rel_36_older_copy_is_found_by_its_anchor_and_records_of_a_diverged_copy_without_it() {
    let scene = Scene::new().await;
    let chat = scene.directory.path().join("chat.db");
    // Both continue from the same ten records.
    let other = scene.directory.path().join("other.db");
    fs::copy(&chat, &other).unwrap();
    write(&other, 30..33).await;
    let ahead = {
        let db = open(&other).await;
        let ahead = anchor(&db, &audit_key()).await.unwrap();
        db.close().await.unwrap();
        ahead
    };
    let db = open(&chat).await;
    let report = verify(&db, &audit_key(), &[ahead]).await.unwrap();
    assert_eq!(report.flaw, Some(Flaw::Truncated { count: at(10), anchored: at(13) }));
    db.close().await.unwrap();

    let reports = scene
        .attacked(async |path| {
            write(path, 20..22).await;
            tampered(path, |db| {
                db.execute("ATTACH ?1 AS other", [other.to_str().unwrap()]).unwrap();
                run(db, "DELETE FROM audit WHERE number = 12");
                run(db, "INSERT INTO audit SELECT * FROM other.audit WHERE number = 12; DETACH other");
            });
        })
        .await;
    assert_eq!(reports[1].flaw, Some(Flaw::Spliced { number: at(12) }));
    assert_eq!(reports[1].intact, at(11));
}

/// Makes the file one of version 2, in which a trigger counts each record. Returns the version that it had.
fn downgrade(path: &Path) -> i64 {
    let initial = include_str!("../../../sqlite-backend/migrations/0001_initial.sql");
    let triggers = &initial[initial.find("CREATE TRIGGER audit_has_no_gaps").unwrap()..];
    let older = "DROP TABLE obsolete_chunks; DROP TABLE search_terms; DROP TABLE search_vocabulary; \
        DROP INDEX search_shards_without_vocabulary; ALTER TABLE search_shards DROP COLUMN has_vocabulary; \
        ALTER TABLE search_shards DROP COLUMN vocabulary_end; DELETE FROM migrations WHERE id > 2; PRAGMA user_version = 2";
    let db = Connection::open(path).unwrap();
    let version = version(&db);
    db.execute_batch(&format!("DROP TRIGGER audit_has_no_gaps; {triggers} {older}")).unwrap();
    version
}

/// The version of the tables of a file.
fn version(file: &Connection) -> i64 {
    file.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn an_audit_log_of_a_file_of_version_2_continues_and_verifies() {
    let scene = Scene::new().await;
    let path = scene.directory.path().join("chat.db");
    let newest = downgrade(&path);
    write(&path, 10..13).await;
    let db = open(&path).await;
    let report = verify(&db, &audit_key(), &scene.anchors).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.intact, report.anchored), (at(13), at(10)));
    db.close().await.unwrap();
    let file = Connection::open(&path).unwrap();
    assert_eq!(version(&file), newest);
    // The store counts the last record, as the trigger did.
    let counted: bool = file
        .query_row("SELECT (audit, audit_hash) = (SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1) FROM store", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(counted);
}

#[tokio::test]
async fn an_entry_of_another_program_is_detected_and_later_writes_go_on_after_it() {
    let scene = Scene::new().await;
    let reports = scene
        .attacked(async |path| {
            let db = Connection::open(path).unwrap();
            let appended = "INSERT INTO audit SELECT 11, tenant, thread, checksum, hash, body FROM audit WHERE number = 10";
            assert_eq!(db.execute(appended, []).unwrap(), 1);
            drop(db);
            write(path, 20..22).await;
            let db = Connection::open(path).unwrap();
            let (last, counted): (i64, i64) =
                db.query_row("SELECT max(number), (SELECT audit FROM store) FROM audit", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                }).unwrap();
            assert_eq!((last, counted), (13, 13));
        })
        .await;
    for report in reports {
        assert_eq!(
            (report.intact, report.flaw),
            (at(10), Some(Flaw::OutOfOrder { number: at(11), found: at(10) }))
        );
    }
}

#[tokio::test]
async fn rel_36_the_file_refuses_edits_and_a_copy_has_the_audit_log() {
    let scene = Scene::new().await;
    let path = scene.directory.path().join("chat.db");
    {
        let db = Connection::open(&path).unwrap();
        let appended = "INSERT INTO audit SELECT number + 5, tenant, thread, checksum, hash, body FROM audit WHERE number = 9";
        let replaced = "INSERT OR REPLACE INTO audit SELECT 4, tenant, thread, checksum, hash, body FROM audit WHERE number = 9";
        for sql in
            ["UPDATE audit SET tenant = 'x'", "DELETE FROM audit WHERE number = 10", appended, replaced]
        {
            let refused = db.execute_batch(sql).unwrap_err();
            assert!(refused.to_string().contains("an audit log is only ever added to"), "{sql}: {refused}");
        }
    }
    let backend = SqliteBackend::open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let copy = scene.directory.path().join("copy.db");
    maintenance.backup(&copy).await.unwrap();
    let verification = maintenance.verify().await.unwrap();
    assert!(verification.is_sound() && verification.audit == 10, "{verification:?}");
    drop(backend);
    let db = open(&copy).await;
    assert!(verify(&db, &audit_key(), &scene.anchors).await.unwrap().is_intact());
    db.close().await.unwrap();

    // Verification finds damage without the key, also a missing row.
    tampered(&copy, |db| {
        edit(db, 4, "alice", "mallory");
        run(db, "DELETE FROM audit WHERE number = 8");
    });
    let backend = SqliteBackend::open(&copy).await.unwrap();
    let damaged = backend.maintenance().verify().await.unwrap().damaged;
    let found: Vec<_> = damaged.iter().map(|damage| (damage.part, damage.reason.as_str())).collect();
    let due = ["entry 4 of the audit log is damaged", "the audit log goes on at 9 after 7"];
    assert_eq!(found, due.map(|text| (Part::Audit, text)));
}
