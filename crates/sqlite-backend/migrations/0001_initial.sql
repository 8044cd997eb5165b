-- The store as a whole, in one row: how far it has come, which changes it does not keep any more, and which writers
-- brought it there last. While it follows another store it takes no writes but images of that; `epoch` counts how often it
-- changed which of the two leads. `audit` and `audit_hash` are the number and the hash of the last entry of the audit log: an entry
-- that is missing at the end is noticed by them.
CREATE TABLE store (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    position   INTEGER NOT NULL,
    kept_after INTEGER NOT NULL,
    fences     INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    following  INTEGER NOT NULL,
    checksum   INTEGER NOT NULL,
    writers    BLOB    NOT NULL,
    audit      INTEGER NOT NULL,
    audit_hash BLOB    NOT NULL
) STRICT;

INSERT INTO store (id, position, kept_after, fences, epoch, following, checksum, writers, audit, audit_hash)
VALUES (1, 0, 0, 0, 0, 0, -878399193442523115, x'', 0, zeroblob(32));

-- The last place of a thread is the greatest that a message has, or that a deleted message had: no place is given
-- twice, and an addition needs no change here. Messages up to `floor` went when the thread was cleared or deleted: nobody is
-- shown them, and while `purgeable` says so some still stand in `messages`. `gone_question` is the last place that a question of
-- the user had which was deleted: it has ended a turn. `last_segment` is where the last row of the thread in `thread_segments` begins.
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

-- What lists show of a thread: what the host said, and what follows from the messages, kept up to date in the commit of each
-- change. It can be made again from the messages. `last_seq` is the last sequence number that the thread has given: a list that
-- looked it up in `messages` took twice the time. A deleted thread has no row here. `active_slot` is the 16 ms in which `active_at`
-- lies: a thread that is written to again within them changes nothing that the index has.
CREATE TABLE catalog (
    thread_pk   INTEGER PRIMARY KEY REFERENCES threads (thread_pk),
    tenant      TEXT    NOT NULL,
    listed      INTEGER NOT NULL,
    archived    INTEGER NOT NULL,
    active_at   INTEGER NOT NULL,
    active_slot INTEGER NOT NULL,
    hidden      INTEGER NOT NULL,
    has_begun   INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    messages    INTEGER NOT NULL,
    turns       INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    preview_seq INTEGER,
    last_seq    INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    title       TEXT    NOT NULL,
    owner       TEXT,
    labels      TEXT    NOT NULL,
    metadata    TEXT    NOT NULL,
    forked_from TEXT,
    preview     TEXT
) STRICT;

CREATE INDEX catalog_by_activity ON catalog (tenant, archived, active_slot DESC) WHERE listed = 1;

-- The labels once more, to find threads by them; the owner stands here under the empty name.
CREATE TABLE labels (
    tenant    TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    thread_pk INTEGER NOT NULL REFERENCES threads (thread_pk),
    PRIMARY KEY (tenant, name, value, thread_pk)
) STRICT, WITHOUT ROWID;

CREATE INDEX labels_of_thread ON labels (thread_pk);

-- What was changed, in the order of the commits. Without any content: whoever reads it late reads what is there by then.
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

-- A row is appended for each message and never moved. While a message is open its content is `[]`, and what was
-- written stands in `appends`, as many pieces as `appends` says, of which `last_append` is the last; once it is settled
-- the content stands here. A deleted message keeps its row, without
-- its place and without anything that was said, so that its id stays dead. What is long stands last.
--
-- Ids come before threads in the index: minted ids grow with time, so that additions to any number of threads meet in
-- the same page of it. So do those to the index of the order, where `segment` comes first: what was written at about the
-- same time lies in one segment, and `thread_segments` says which of them hold messages of a thread.
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

-- From the place `first_seq` on, up to the next row of the thread, its messages lie in this segment. Segments grow with the
-- places of a thread. Each row says where the one before it begins, or 0: that one is missed when it is not there any more.
CREATE TABLE thread_segments (
    thread_pk INTEGER NOT NULL REFERENCES threads (thread_pk),
    first_seq INTEGER NOT NULL,
    segment   INTEGER NOT NULL,
    previous  INTEGER NOT NULL,
    checksum  INTEGER NOT NULL,
    PRIMARY KEY (thread_pk, first_seq)
) STRICT, WITHOUT ROWID;

-- What was written to open messages: of each the pieces 1, 2 and so on. Those of a message go when it is settled.
--
-- A piece gets a greater key than every other one, whichever message it is of: at the end of a table that is ordered by
-- such a key SQLite fills each page and begins the next, and anywhere else it shares a full page out to its neighbours,
-- which writes several pages for a few words. So the pieces of a message lie apart, and each leads to the one before it,
-- from the last one, which the row of the message names. An index would be written with each piece.
--
-- Neither `prev` nor `last_append` is declared as a reference: for each piece that goes SQLite would look through both
-- tables for a row that leads to it.
CREATE TABLE appends (
    append_pk  INTEGER PRIMARY KEY,
    message_pk INTEGER NOT NULL REFERENCES messages (message_pk),
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

-- By what names messages are known to who made them: a provider's turn, item or event. A message may have several names, and
-- may not have been written yet.
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

-- The full-text index of final messages. `terms` holds the distinct terms of a message, in a line each those that occur four
-- times or more, three times, twice and once, and in the fifth the term of its thread. Before each term stands the number of its shard: a
-- query names the shards of its tenant, and reads nothing of any other. What is deleted from here is deleted from the pages. With
-- `detail = none` the secure deletion of SQLite 3.51 loses rows of a term when a row is replaced within one transaction.
CREATE VIRTUAL TABLE search USING fts5 (
    terms, shard UNINDEXED, seq UNINDEXED, created_at UNINDEXED,
    detail = column, columnsize = 0, tokenize = "ascii tokenchars '.'"
);

INSERT INTO search (search, rank) VALUES ('secure-delete', 1);

-- The parts of the index, each of one tenant: the messages from `first_pk` up to the next shard of the tenant, and those that found no
-- room in theirs. `terms` counts the terms that it holds. A number is never given to another shard.
CREATE TABLE search_shards (
    shard    INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT    NOT NULL,
    first_pk INTEGER NOT NULL,
    terms    INTEGER NOT NULL
) STRICT;

CREATE INDEX search_shards_of_tenant ON search_shards (tenant, first_pk);

-- Which changes are in the index: all up to `indexed`, unless it is not complete. Up to where the messages were gone through
-- again, while that is done. `tokenizer` says how it divides a text into terms.
CREATE TABLE search_state (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    indexed   INTEGER NOT NULL,
    recovered     INTEGER,
    complete  INTEGER NOT NULL,
    tokenizer TEXT    NOT NULL
) STRICT;

INSERT INTO search_state (id, indexed, recovered, complete, tokenizer) VALUES (1, 0, NULL, 0, 'words');

-- How far this store has followed another one, in the words of that.
CREATE TABLE followed (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    checksum INTEGER NOT NULL,
    cursor   TEXT    NOT NULL
) STRICT;

-- While there is a row here, triggers note in `touched` which rows are changed, for who copies the store.
CREATE TABLE capture (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;

-- Each row that was changed, once: in the order in which they were changed last. Numbers are not given twice.
CREATE TABLE touched (
    n    INTEGER PRIMARY KEY AUTOINCREMENT,
    kind INTEGER NOT NULL,
    row  INTEGER NOT NULL,
    UNIQUE (kind, row)
) STRICT;

-- How far each consumer of the changes has come.
CREATE TABLE consumers (
    consumer_pk INTEGER PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    consumer    TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    UNIQUE (tenant, consumer)
) STRICT;

-- What a consumer has passed over, and why. The change itself may not be kept any more.
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

-- How often an agent was dropped and its sessions were reset as a whole: what ends the sessions of many threads at once is
-- counted here, and not written into each of them.
CREATE TABLE session_agents (
    agent_pk    INTEGER PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    resets      INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    UNIQUE (tenant, agent)
) STRICT;

-- How often a runtime was dropped.
CREATE TABLE session_runtimes (
    runtime_pk  INTEGER PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    runtime     TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    UNIQUE (tenant, runtime)
) STRICT;

-- Where an agent goes on in a thread, and who runs: one value, only ever written whole.
CREATE TABLE session_heads (
    head_pk     INTEGER PRIMARY KEY,
    thread_pk   INTEGER NOT NULL REFERENCES threads (thread_pk),
    agent       TEXT    NOT NULL,
    incarnation INTEGER NOT NULL,
    checksum    INTEGER NOT NULL,
    head        TEXT    NOT NULL,
    UNIQUE (thread_pk, agent, incarnation)
) STRICT;

-- The sessions that runs have reported, each as the latest run on it left it. What stands before the checksum is found by, and
-- stands once more in `known`.
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

-- Every run, in the order in which they began.
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

-- Who did what, in the order in which it was done: each entry in the commit of what it is about, and each with the hash of the one
-- before it in `body`. `hash` is over `body`, with a key that the file does not have. Entries are found by `tenant` and `thread`, which
-- a read compares with `body`; `thread` is the one that an entry is about, where it is about one.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    tenant   TEXT    NOT NULL,
    thread   TEXT,
    checksum INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;

-- Nothing of it is changed by mistake. Who means to can take the triggers away, and is found out by the hashes.
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'an audit log is only ever added to');
END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'an audit log is only ever added to');
END;

-- What the log of a store has lost that is followed, its copy has lost too.
CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit
WHEN NEW.number IS NOT (SELECT audit + 1 FROM store)
    AND (NEW.number <= (SELECT audit FROM store) OR NOT (SELECT following FROM store)) BEGIN
    SELECT RAISE(ABORT, 'an audit log is only ever added to');
END;

CREATE TRIGGER audit_is_counted AFTER INSERT ON audit BEGIN
    UPDATE store SET audit = NEW.number, audit_hash = NEW.hash;
END;
