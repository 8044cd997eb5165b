//! Tests for the cost of each statement: it grows with the result, and not with the size of the store.

use rusqlite::{Connection, StatementStatus, ToSql};
use throughline_core::{
    Timestamp,
    threads::{ListThreads, ThreadCursor, ThreadOrder},
};

use super::{
    aliases::{ALIASES, ALIASES_OF_MESSAGE},
    content::CHUNK,
    find,
    get::GET,
    open, page, thread, threads,
};
use crate::{
    connection::connect_to_read,
    obsolete_chunks::DELETE_OF as DELETE_OBSOLETE,
    record::Listed,
    rows::{
        BY_EVENT, BY_ITEM, BY_TURN, CHUNKS, DELETE_CHUNKS, FIND, FIND_THREAD, FORGET_ALIASES, LATEST,
        OF_MESSAGE, OLDEST, OPEN as OPEN_MESSAGES, PURGEABLE, QUESTIONS,
    },
};

/// The number of positions in a segment; the tested lengths leave the last segment partly filled.
const SEGMENT: i64 = 20;
/// The only open message.
const OPEN: i64 = 1_000_000;
/// The last of its three chunks.
const LAST_APPEND: i64 = 3;

/// Returns a store with this number of messages in one thread, every second of them deleted, and the same number of
/// other threads. The last message is open, and there are as many chunks of other messages.
fn store(messages: i64) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
    connection.execute_batch(include_str!("../../migrations/0004_chunks_deleted_together.sql")).unwrap();
    connection
        .execute_batch(&format!(
            "CREATE TEMP TABLE numbers AS WITH RECURSIVE n (n) AS \
             (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {messages}) SELECT n FROM n;
             INSERT INTO threads (tenant, thread, deleted_seq, floor, generation, gone_at, gone_question, deleted, \
             purgeable, last_segment, checksum) SELECT 'a', printf('t%06d', n), 0, 0, 1, 0, 0, 0, n <= 20, 0, 0 FROM numbers;
             INSERT INTO catalog (thread_pk, tenant, listed, archived, active_at, active_slot, hidden, has_begun, \
              reuses_ids, created_at, changed_at, messages, turns, bytes, last_seq, checksum, thread, title, labels, metadata) \
              SELECT n, 'a', n % 2, n % 3 = 0, n / 5 << 14, n / 5, 0, 1, 0, n % 2, 0, 1, 1, 1, 1, 0, printf('t%06d', n), 'x', \
              '{{}}', '{{}}' FROM numbers;
             INSERT INTO labels SELECT 'a', 'k', iif(n <= 60, 'few', 'many'), n FROM numbers;
             INSERT INTO messages (thread_pk, message_id, seq, segment, role, state, revision, appends, content_bytes, tail, \
             created_at, updated_at, position, checksum, metadata, content) \
             SELECT 1, printf('m%06d', n), iif(n % 2, n, NULL), n / {SEGMENT}, 'user', iif(n % 2, 'final', 'deleted'), \
             1, 0, 2, 0, 0, 0, n, 0, '{{}}', '[]' FROM numbers;
             INSERT INTO thread_segments \
             SELECT 1, max(n / {SEGMENT} * {SEGMENT}, 1), n / {SEGMENT}, 0, 0 FROM numbers GROUP BY n / {SEGMENT};
             INSERT INTO messages (message_pk, thread_pk, message_id, seq, segment, role, state, revision, appends, \
             last_append, content_bytes, tail, created_at, updated_at, position, checksum, metadata, content) \
             VALUES ({OPEN}, 1, 'open', {messages} + 1, {messages} / {SEGMENT}, 'user', 'streaming', 4, 3, {LAST_APPEND}, \
             2, 1, 0, 0, 1, 0, '{{}}', '[]');
             INSERT INTO obsolete_chunks SELECT iif(n = 1, {OPEN}, n), iif(n = 1, {LAST_APPEND}, n), 3, n FROM numbers;
             INSERT INTO appends SELECT n, iif(n <= {LAST_APPEND}, {OPEN}, n % 10 + 1), n, nullif(n - 1, 0), 0, 0, 'x' \
             FROM numbers;"
        ))
        .unwrap();
    connection
}

/// Returns the number of SQLite's virtual-machine steps until the statement has answered, and the number of rows.
fn cost(messages: i64, sql: &str, parameters: &[&dyn ToSql]) -> (i32, usize) {
    let connection = store(messages);
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map(parameters, |_| Ok(())).unwrap().map(Result::unwrap).count();
    (statement.get_status(StatementStatus::VmStep), rows)
}

fn costs_the_same(sql: &str, parameters: &[&dyn ToSql]) {
    let ((few, shown), (many, shown_of_many)) = (cost(100, sql, parameters), cost(10_000, sql, parameters));
    assert_eq!(shown, shown_of_many, "{sql}");
    assert!(shown > 0 && many <= few + 10, "{few} steps of 100, {many} steps of 10000: {sql}");
}

#[test]
fn a_message_costs_the_same_in_any_thread() {
    costs_the_same(GET, &[&1, &"m000051"]);
    costs_the_same(FIND, &[&1, &"m000051"]);
    costs_the_same(FIND_THREAD, &[&"a", &"t000001"]);
    costs_the_same(thread::HEAD, &[&"a", &"t000001"]);
    costs_the_same(thread::ENTRY, &[&1]);
    costs_the_same(QUESTIONS, &[&1, &0, &1]);
    costs_the_same(LATEST, &[&1, &0, &2]);
    costs_the_same(OLDEST, &[&1, &0, &2]);
    costs_the_same(OPEN_MESSAGES, &[&1, &0, &2]);
    costs_the_same(PURGEABLE, &[&1, &60, &2]);
    costs_the_same(thread::LAST_SEQ, &[&1, &80]);
}

#[test]
fn the_cost_of_an_open_message_is_that_of_its_chunks() {
    let (message, chunk) = (&OPEN, &LAST_APPEND);
    costs_the_same(GET, &[&1, &"open"]);
    costs_the_same(CHUNKS, &[message, chunk]);
    costs_the_same(CHUNK, &[message, chunk]);
    costs_the_same(&format!("{DELETE_CHUNKS} RETURNING append_pk"), &[message, chunk]);
    costs_the_same(&format!("{DELETE_OBSOLETE} RETURNING append_pk"), &[message]);
}

#[test]
fn the_cost_of_a_page_is_that_of_its_rows() {
    for sql in page::every_statement() {
        for (after, before) in [(0, i64::MAX), (20, i64::MAX), (0, 60)] {
            costs_the_same(sql, &[&1, &0, &after, &before, &11]);
        }
        // In the middle of a thread, so after more messages in a longer one.
        let middle = |messages: i64| cost(messages, sql, &[&1, &0, &(messages / 2), &i64::MAX, &11]);
        let ((few, shown), (many, shown_of_many)) = (middle(100), middle(10_000));
        assert_eq!(shown, shown_of_many, "{sql}");
        assert!(many <= few + 10, "{few} steps of 100, {many} steps of 10000: {sql}");
    }
}

#[test]
fn a_settled_page_does_not_read_rows_after_an_open_message() {
    for sql in page::every_statement() {
        let shown = |messages: i64| {
            let connection = store(messages);
            connection.execute("UPDATE messages SET state = 'streaming' WHERE seq = 7", []).unwrap();
            let mut statement = connection.prepare(sql).unwrap();
            let parameters: [&dyn ToSql; 5] = [&1, &0, &0, &i64::MAX, &11];
            let rows = statement.query_map(parameters, |_| Ok(())).unwrap().map(Result::unwrap).count();
            (statement.get_status(StatementStatus::VmStep), rows)
        };
        let ((few, rows), (many, rows_of_many)) = (shown(100), shown(10_000));
        assert_eq!(rows, rows_of_many, "{sql}");
        assert!(many <= few + 10, "{few} steps of 100, {many} steps of 10000: {sql}");
    }
}

#[test]
fn the_cost_of_a_find_is_that_of_its_page() {
    let cost = |messages: i64, sql: &str, parameters: &[&dyn ToSql]| {
        let connection = store(messages);
        connection
            .execute_batch(
                "INSERT INTO metadata_values (message_pk, name_pk, tenant, thread, thread_pk, seq, created_at, value) \
                 SELECT n, n % 2, iif(n % 5, 'a', 'b'), 't000001', 1, n, n, iif(n % 7, 't:x', 't:y') FROM numbers",
            )
            .unwrap();
        let mut statement = connection.prepare(&format!("{sql} LIMIT 5")).unwrap();
        let rows = statement.query_map(parameters, |_| Ok(())).unwrap().map(Result::unwrap).count();
        (statement.get_status(StatementStatus::VmStep), rows)
    };
    for (at, sql) in [0, i64::MAX].into_iter().zip(find::IN_THREAD) {
        let parameters: &[&dyn ToSql] = &[&1, &1, &"t:x", &at];
        let ((few, shown), (many, rows)) = (cost(200, sql, parameters), cost(10_000, sql, parameters));
        assert_eq!((shown, rows), (5, 5), "{sql}");
        assert!(many <= few + 10, "{few} steps of 200, {many} steps of 10000: {sql}");
    }
    for (at, sql) in [i64::MIN, i64::MAX].into_iter().zip(find::OF_TENANT) {
        let parameters: &[&dyn ToSql] = &[&"a", &1, &"t:x", &at, &"", &at];
        let ((few, shown), (many, rows)) = (cost(200, sql, parameters), cost(10_000, sql, parameters));
        assert_eq!((shown, rows), (5, 5), "{sql}");
        assert!(many <= few + 10, "{few} steps of 200, {many} steps of 10000: {sql}");
    }
    // In the middle of the messages of one moment.
    for sql in find::OF_TENANT {
        let middle =
            |messages: i64| cost(messages, sql, &[&"a", &1, &"t:x", &(messages / 2), &"t000001", &7]);
        let ((few, shown), (many, rows)) = (middle(200), middle(10_000));
        assert_eq!((shown, rows), (5, 5), "{sql}");
        assert!(many <= few + 10, "{few} steps of 200, {many} steps of 10000: {sql}");
    }
}

#[test]
fn the_cost_of_a_list_of_threads_is_that_of_its_page() {
    for order in ThreadOrder::ALL {
        let first = ListThreads::new(5).ordered_by(order);
        for listed in [true, false] {
            let begin: [&dyn ToSql; 4] = [&"a", &false, &listed, &5];
            costs_the_same(&threads::statement(&first, false, 0), &begin);
        }
        let few: [&dyn ToSql; 9] = [&"a", &false, &true, &5, &0, &"", &0, &"k", &"few"];
        costs_the_same(&threads::statement(&first, true, 1), &few);
        let many: [&dyn ToSql; 9] = [&"a", &false, &true, &5, &0, &"", &0, &"k", &"many"];
        costs_the_same(&threads::statement(&first, false, 1), &many);
    }
    // From the middle of threads that were active, or all of them created, at the same time.
    for (order, at) in ThreadOrder::ALL.into_iter().zip([15 << 14, 1, 1]) {
        let cursor =
            ThreadCursor { order, at: Timestamp::from_micros(at), thread: "t000076".parse().unwrap() };
        let rest = ListThreads::new(5).ordered_by(order).after(cursor);
        let after: [&dyn ToSql; 7] = [&"a", &false, &true, &5, &at, &"t000076", &Listed::slot(at)];
        let parameters = if order == ThreadOrder::LatestActivity { &after[..] } else { &after[..6] };
        costs_the_same(&threads::statement(&rest, false, 0), parameters);
    }
    costs_the_same(&format!("{} LIMIT 5", threads::PURGEABLE), &[&"a", &"t000010"]);
}

#[test]
fn the_cost_of_listing_open_messages_is_that_of_the_open_ones() {
    costs_the_same(open::OF_TENANT, &[&"a", &"", &0, &false, &0, &11]);
    costs_the_same(open::OF_THREAD, &[&"a", &"", &0, &false, &0, &11, &"t000001"]);
}

/// Returns how often SQLite compiles a statement again while it runs with these parameters in rotation.
fn compiled_again(connection: &Connection, sql: &str, parameters: [&[&dyn ToSql]; 2]) -> i32 {
    for parameters in [parameters, parameters].concat() {
        let mut statement = connection.prepare_cached(sql).unwrap();
        assert!(statement.query_map(parameters, |_| Ok(())).unwrap().all(|row| row.is_ok()));
    }
    connection.prepare_cached(sql).unwrap().get_status(StatementStatus::RePrepare)
}

#[test]
fn no_read_is_compiled_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    store(100).execute("VACUUM INTO ?1", [path.to_str()]).unwrap();
    let connection = connect_to_read(&path).unwrap();
    for sql in page::every_statement() {
        let (few, many): (&[&dyn ToSql], &[&dyn ToSql]) = (&[&1, &0, &0, &60, &11], &[&2, &1, &1, &90, &51]);
        assert_eq!(compiled_again(&connection, sql, [few, many]), 0, "{sql}");
    }
    let (one, other): (&[&dyn ToSql], &[&dyn ToSql]) = (&[&1, &"m000051"], &[&2, &"open"]);
    assert_eq!(compiled_again(&connection, GET, [one, other]), 0);
    let (few, many): (&[&dyn ToSql], &[&dyn ToSql]) =
        (&[&"a", &"", &0, &false, &0, &11], &[&"a", &"t", &1, &true, &1, &51]);
    assert_eq!(compiled_again(&connection, open::OF_TENANT, [few, many]), 0);
}

/// A thread with this number of aliases, of as many messages, and of items that are named again in each turn.
#[test]
fn an_alias_costs_the_same_in_any_thread() {
    let cost = |names: i64, sql: &str, parameters: &[&dyn ToSql]| {
        let connection = store(100);
        connection
            .execute_batch(&format!(
                "INSERT INTO aliases (thread_pk, generation, seen, role, checksum, turn, item, event, message_id) \
                 WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {names}) \
                 SELECT 1, 1, 0, 'assistant', 0, iif(n % 3, printf('t%d', n), NULL), \
                 iif(n % 3 = 1, 'seg:0', NULL), printf('e%d', n), printf('m%06d', n) FROM n;"
            ))
            .unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let rows = statement.query_map(parameters, |_| Ok(())).unwrap().map(Result::unwrap).count();
        (statement.get_status(StatementStatus::VmStep), rows)
    };
    let assistant = "assistant";
    let cases: [(&str, &[&dyn ToSql]); 7] = [
        (BY_ITEM, &[&1, &1, &assistant, &"seg:0", &"t49"]),
        (BY_TURN, &[&1, &1, &assistant, &"t50"]),
        (BY_EVENT, &[&1, &1, &assistant, &"e51"]),
        (OF_MESSAGE, &[&1, &1, &"m000050", &16]),
        (ALIASES, &[&1, &1, &"m000050", &0, &11]),
        (ALIASES_OF_MESSAGE, &[&1, &1, &"m000050", &0, &11]),
        (FORGET_ALIASES, &[&1, &2, &10]),
    ];
    for (sql, parameters) in cases {
        let ((few, shown), (many, shown_of_many)) =
            (cost(100, sql, parameters), cost(10_000, sql, parameters));
        assert_eq!(shown, shown_of_many, "{sql}");
        assert!(many <= few + 10, "{few} steps of 100, {many} steps of 10000: {sql}");
    }
}
