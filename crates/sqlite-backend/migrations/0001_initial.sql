-- The store as a whole, in one row: its last position, the position up to which old changes were removed, and the last
-- writers. While `is_replica` is set, the store is a replica and accepts only row images; `epoch` counts the switchovers.
-- `audit` and `audit_hash` are the number and the hash of the last record of the audit log, so that verification detects
-- a record that is missing at the end.
CREATE TABLE store (
    id                      INTEGER PRIMARY KEY CHECK (id = 1),
    position                INTEGER NOT NULL,
    kept_after              INTEGER NOT NULL,
    fence_transaction_count INTEGER NOT NULL,
    epoch                   INTEGER NOT NULL,
    is_replica              INTEGER NOT NULL,
    checksum                INTEGER NOT NULL,
    writers                 BLOB    NOT NULL,
    audit                   INTEGER NOT NULL,
    audit_hash              BLOB    NOT NULL
) STRICT;

INSERT INTO store (id, position, kept_after, fence_transaction_count, epoch, is_replica, checksum, writers, audit, audit_hash)
VALUES (1, 0, 0, 0, 0, 0, -878399193442523115, x'', 0, zeroblob(32));

-- The last sequence number of a thread is the greatest one of its messages, or `deleted_seq`, that of the deleted ones. So
-- the store never reuses a sequence number, and an addition changes no row here. A clear or a deletion of the thread removed
-- the messages up to `floor`: reads do not return them, and while `purgeable` is set, some of their rows still exist in
-- `messages`. `gone_question` is the last sequence number of a deleted message of the user: that message has ended a turn.
-- `last_segment` is the `first_seq` of the last row of the thread in `thread_segments`.
CREATE TABLE threads (
    thread_pk     INTEGER PRIMARY KEY,
    tenant        TEXT    NOT NULL,
    thread        TEXT    NOT NULL,
    deleted_seq   INTEGER NOT NULL,
    floor         INTEGER NOT NULL,
    generation    INTEGER NOT NULL,
    gone_at       INTEGER NOT NULL,
    gone_question INTEGER NOT NULL,
    deleted       INTEGER NOT NULL,
    purgeable     INTEGER NOT NULL,
    last_segment  INTEGER NOT NULL,
    checksum      INTEGER NOT NULL,
    UNIQUE (tenant, thread)
) STRICT;

CREATE INDEX threads_purgeable ON threads (tenant, thread) WHERE purgeable = 1;

-- The thread summaries: the values that the host set, and the values that derive from the messages. The commit of each change
-- updates them, and a rebuild computes them again from the messages. `last_seq` is the last sequence number of the thread: a
-- list that looked it up in `messages` took twice the time. A deleted thread has no row here. `active_slot` is the period of
-- 16 ms that contains `active_at`: a second write within the period changes no column of an index. `thread` is a copy of the id,
-- for the index by the time of creation: many threads can have one time, and a list then continues within them. `reuses_ids` says
-- whether the ids of deleted messages can be used again.
CREATE TABLE catalog (
    thread_pk   INTEGER PRIMARY KEY REFERENCES threads (thread_pk),
    tenant      TEXT    NOT NULL,
    listed      INTEGER NOT NULL,
    archived    INTEGER NOT NULL,
    active_at   INTEGER NOT NULL,
    active_slot INTEGER NOT NULL,
    hidden      INTEGER NOT NULL,
    has_begun   INTEGER NOT NULL,
    reuses_ids  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    messages    INTEGER NOT NULL,
    turns       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    preview_seq INTEGER,
    last_seq    INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    thread      TEXT    NOT NULL,
    title       TEXT    NOT NULL,
    owner       TEXT,
    labels      TEXT    NOT NULL,
    metadata    TEXT    NOT NULL,
    forked_from TEXT,
    preview     TEXT
) STRICT;

-- No list shows a hidden thread. A write of a message to a listed thread changes at most the first of these indexes.
CREATE INDEX catalog_by_activity ON catalog (tenant, listed, archived, active_slot DESC) WHERE hidden = 0;
CREATE INDEX catalog_by_creation ON catalog (tenant, listed, archived, created_at, thread) WHERE hidden = 0;

-- A copy of the labels, to find threads by them; the owner is the label with the empty name.
CREATE TABLE labels (
    tenant    TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    thread_pk INTEGER NOT NULL REFERENCES threads (thread_pk),
    PRIMARY KEY (tenant, name, value, thread_pk)
) STRICT, WITHOUT ROWID;

CREATE INDEX labels_of_thread ON labels (thread_pk);

-- The change events, in the order of the commits, without content: a reader gets the content from the current message.
CREATE TABLE changes (
    position   INTEGER PRIMARY KEY,
    thread_pk  INTEGER NOT NULL REFERENCES threads (thread_pk),
    kind       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    seq        INTEGER,
    number     INTEGER,
    checksum   INTEGER NOT NULL,
    message_id TEXT
) STRICT;

-- Each message appends one row, which never moves. While a message is open, its content is `[]`, and the table `appends`
-- keeps its chunks: the column `appends` is their number, and `last_append` is the key of the last one. The row of a settled
-- message has the content, or the name of the file that has it: `blob:`, the BLAKE3 hash of its bytes, `:` and their number. The
-- row of a deleted message is a tombstone, without a sequence number and without content. Its `revision` is the last one of the
-- message, because a later message of the id begins after it. The long columns are last.
--
-- Ids come before threads in the index: minted ids grow with time, so that additions to any number of threads change the
-- same page of the index. The same is true of the index of the order, where `segment` comes first: messages that were
-- written at about the same time belong to one segment, and `thread_segments` lists the segments with messages of a thread.
CREATE TABLE messages (
    message_pk       INTEGER PRIMARY KEY,
    thread_pk        INTEGER NOT NULL REFERENCES threads (thread_pk),
    message_id       TEXT    NOT NULL,
    seq              INTEGER,
    segment          INTEGER NOT NULL,
    role             TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    revision         INTEGER NOT NULL,
    appends          INTEGER NOT NULL,
    last_append      INTEGER,
    content_bytes    INTEGER NOT NULL,
    tail             INTEGER NOT NULL,
    lease_ms         INTEGER,
    lease_expires_at INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    position         INTEGER NOT NULL,
    checksum         INTEGER NOT NULL,
    metadata         TEXT    NOT NULL,
    attachments      TEXT,
    abandon_reason   TEXT,
    content          TEXT    NOT NULL,
    UNIQUE (message_id, thread_pk)
) STRICT;

CREATE UNIQUE INDEX messages_in_order ON messages (segment, thread_pk, seq) WHERE seq IS NOT NULL;
CREATE INDEX messages_open ON messages (thread_pk, seq) WHERE state IN ('reserved', 'streaming');
-- Only the names of files: a content begins with a bracket.
CREATE INDEX messages_with_blob ON messages (content) WHERE content >= 'b';

-- The messages of a thread from `first_seq` on, up to the next row of the thread, belong to this segment. Segment numbers
-- grow with the sequence numbers of a thread. `previous` is the `first_seq` of the row before, or 0, so that verification
-- detects a missing row.
CREATE TABLE thread_segments (
    thread_pk INTEGER NOT NULL REFERENCES threads (thread_pk),
    first_seq INTEGER NOT NULL,
    segment   INTEGER NOT NULL,
    previous  INTEGER NOT NULL,
    checksum  INTEGER NOT NULL,
    PRIMARY KEY (thread_pk, first_seq)
) STRICT, WITHOUT ROWID;

-- The chunks of open messages, numbered from 1 within each message. The commit that settles a message deletes its chunks.
--
-- A new chunk gets the greatest key of the table, whatever its message: SQLite fills the last page of a table and begins the
-- next one, but it splits any other full page, which writes several pages for a few bytes. So the chunks of a message are
-- not adjacent. `last_append` in the row of the message is the key of the last chunk, and `prev` of each chunk is the key of
-- the one before it. An index would cost a write with each chunk.
--
-- None of `message_pk`, `prev` and `last_append` is declared as a reference: for each deleted row, SQLite would search the
-- other table for a row that refers to it.
CREATE TABLE appends (
    append_pk  INTEGER PRIMARY KEY,
    message_pk INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    prev       INTEGER,
    kind       INTEGER NOT NULL,
    checksum   INTEGER NOT NULL,
    delta      TEXT    NOT NULL
) STRICT;

CREATE TABLE idempotency (
    record_pk   INTEGER PRIMARY KEY,
    thread_pk   INTEGER NOT NULL REFERENCES threads (thread_pk),
    key         TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL,
    replay      TEXT    NOT NULL,
    UNIQUE (key, thread_pk)
) STRICT;

-- The provider aliases of messages: the turn, item or event of a provider. A message can have several aliases, and an alias
-- can exist before its message.
CREATE TABLE aliases (
    alias_pk   INTEGER PRIMARY KEY,
    thread_pk  INTEGER NOT NULL REFERENCES threads (thread_pk),
    generation INTEGER NOT NULL,
    seen       INTEGER NOT NULL,
    role       TEXT    NOT NULL,
    checksum   INTEGER NOT NULL,
    turn       TEXT,
    item       TEXT,
    event      TEXT,
    message_id TEXT    NOT NULL
) STRICT;

CREATE INDEX aliases_by_item ON aliases (thread_pk, generation, item, turn) WHERE item IS NOT NULL;
CREATE INDEX aliases_by_turn ON aliases (thread_pk, generation, turn) WHERE turn IS NOT NULL;
CREATE INDEX aliases_by_event ON aliases (thread_pk, generation, event) WHERE item IS NULL AND turn IS NULL;
CREATE INDEX aliases_of_message ON aliases (thread_pk, generation, message_id);

-- The full-text index of final messages. `terms` holds the distinct terms of a message, with one line for those that
-- occur four times or more, three times, twice and once, and a fifth line for the term of its thread. The number of the shard
-- precedes each term: a query names the shards of its tenant, and reads no other. Secure deletion removes deleted terms from
-- the pages. With `detail = none`, the secure deletion of SQLite 3.51 loses rows of a term when one transaction replaces a row.
CREATE VIRTUAL TABLE search USING fts5 (
    terms, shard UNINDEXED, seq UNINDEXED, created_at UNINDEXED,
    detail = column, columnsize = 0, tokenize = "ascii tokenchars '.'"
);

INSERT INTO search (search, rank) VALUES ('secure-delete', 1);

-- The shards of the full-text index, each of one tenant: the messages from `first_pk` up to the next shard of the tenant, and
-- messages whose own shard was full. `terms` counts the terms of the shard. Numbers of shards are never reused.
CREATE TABLE search_shards (
    shard    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT    NOT NULL,
    first_pk INTEGER NOT NULL,
    terms    INTEGER NOT NULL
) STRICT;

CREATE INDEX search_shards_of_tenant ON search_shards (tenant, first_pk);

-- The progress of the full-text index. A `complete` index has all changes up to `indexed`. During a rebuild, `recovered` is
-- the last message that was indexed. `tokenizer` names the tokenizer of the index.
CREATE TABLE search_state (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    indexed   INTEGER NOT NULL,
    recovered INTEGER,
    complete  INTEGER NOT NULL,
    tokenizer TEXT    NOT NULL
) STRICT;

INSERT INTO search_state (id, indexed, recovered, complete, tokenizer) VALUES (1, 0, NULL, 0, 'words');

-- The metadata fields that hosts have declared as indexed. While the store adds its messages to the index of a new field,
-- `recovered` is the last one that was added. A dropped field has no name; `recovered` is then the last message of which the
-- entry was removed, and the row is deleted after the last one.
CREATE TABLE metadata_names (
    name_pk   INTEGER PRIMARY KEY,
    name      TEXT UNIQUE,
    recovered INTEGER
) STRICT;

-- The index of metadata: an entry for each message and each declared field of it. `value` is the value with its type, or its
-- hash. The writer adds the entries in the commit of the message. A read compares each message that it finds with the value,
-- and verification compares both.
CREATE TABLE metadata_values (
    message_pk INTEGER NOT NULL,
    name_pk    INTEGER NOT NULL,
    tenant     TEXT    NOT NULL,
    thread     TEXT    NOT NULL,
    thread_pk  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    value      TEXT    NOT NULL,
    PRIMARY KEY (message_pk, name_pk)
) STRICT, WITHOUT ROWID;

CREATE INDEX metadata_values_in_thread ON metadata_values (thread_pk, name_pk, value, seq);
CREATE INDEX metadata_values_of_tenant ON metadata_values (tenant, name_pk, value, created_at, thread, seq);

-- The progress of this replica: the cursor that its primary issued.
CREATE TABLE followed (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    checksum INTEGER NOT NULL,
    cursor   TEXT    NOT NULL
) STRICT;

-- While a row exists here, triggers record the keys of changed rows in `touched`, for the mirror that copies the store.
CREATE TABLE capture (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;

-- The dirty set: each changed row once, in the order of its last change. Numbers are never reused.
CREATE TABLE touched (
    n    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    row  INTEGER NOT NULL,
    UNIQUE (kind, row)
) STRICT;

-- The cursor of each consumer of the change feed.
CREATE TABLE consumers (
    consumer_pk INTEGER PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    consumer    TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    UNIQUE (tenant, consumer)
) STRICT;

-- The changes in the quarantine of each consumer, with the reason. The change itself may have been removed already.
CREATE TABLE quarantine (
    quarantine_pk INTEGER PRIMARY KEY,
    consumer_pk   INTEGER NOT NULL REFERENCES consumers (consumer_pk),
    position      INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    checksum      INTEGER NOT NULL,
    thread        TEXT    NOT NULL,
    why           TEXT    NOT NULL,
    UNIQUE (consumer_pk, position)
) STRICT;

-- The number of times that an agent was dropped, and that all of its sessions were reset. An operation that ends the sessions
-- of many threads increases a number here, and does not write to each thread.
CREATE TABLE session_agents (
    agent_pk    INTEGER PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    resets      INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    UNIQUE (tenant, agent)
) STRICT;

-- The number of times that a runtime was dropped.
CREATE TABLE session_runtimes (
    runtime_pk  INTEGER PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    runtime     TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    UNIQUE (tenant, runtime)
) STRICT;

-- The pointer of an agent in a thread, and its current run: one value, which is always written as a whole.
CREATE TABLE session_heads (
    head_pk     INTEGER PRIMARY KEY,
    thread_pk   INTEGER NOT NULL REFERENCES threads (thread_pk),
    agent       TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    head        TEXT    NOT NULL,
    UNIQUE (thread_pk, agent, incarnation)
) STRICT;

-- The sessions that runs have reported, each in the state after its latest run. The columns before the checksum are for
-- queries, and copy values of `known`.
CREATE TABLE session_known (
    known_pk    INTEGER PRIMARY KEY,
    head_pk     INTEGER NOT NULL REFERENCES session_heads (head_pk),
    session     TEXT    NOT NULL,
    generation  INTEGER,
    number      INTEGER,
    usable      INTEGER NOT NULL,
    provider    TEXT,
    runtime     TEXT,
    root        TEXT,
    incarnation INTEGER,
    checksum    INTEGER NOT NULL,
    known       TEXT    NOT NULL,
    UNIQUE (head_pk, session)
) STRICT;

CREATE INDEX session_known_in_order ON session_known (head_pk, generation, number) WHERE generation IS NOT NULL;
CREATE INDEX session_known_usable
    ON session_known (head_pk, generation, provider, runtime, root, incarnation, number) WHERE usable = 1;

-- Every run, in the order of their beginnings.
CREATE TABLE session_attempts (
    attempt_pk INTEGER PRIMARY KEY,
    head_pk    INTEGER NOT NULL REFERENCES session_heads (head_pk),
    number     INTEGER NOT NULL,
    attempt    TEXT    NOT NULL,
    checksum   INTEGER NOT NULL,
    record     TEXT    NOT NULL,
    UNIQUE (head_pk, attempt)
) STRICT;

CREATE UNIQUE INDEX session_attempts_in_order ON session_attempts (head_pk, number);

-- The audit log, in order: the commit of an operation also adds its record. `body` includes the hash of the record before, and
-- `hash` is the hash of `body`, with a key that the file does not contain. `tenant` and `thread` are for queries, and a read
-- compares them with `body`; `thread` is null for a record about no single thread.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    tenant   TEXT    NOT NULL,
    thread   TEXT,
    checksum INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;

-- The triggers prevent accidental changes. An attacker can remove them; the hashes detect that.
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'an audit log is only ever added to');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'an audit log is only ever added to');
END;

-- The audit log of a replica has the same gaps as that of its primary.
CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit
WHEN NEW.number IS NOT (SELECT audit + 1 FROM store)
    AND (NEW.number <= (SELECT audit FROM store) OR NOT (SELECT is_replica FROM store)) BEGIN
    SELECT RAISE(ABORT, 'an audit log is only ever added to');
END;

CREATE TRIGGER audit_is_counted AFTER INSERT ON audit BEGIN
    UPDATE store SET audit = NEW.number, audit_hash = NEW.hash;
END;
