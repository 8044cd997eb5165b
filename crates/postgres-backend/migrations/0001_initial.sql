-- The store as a whole, in one row. The last statement of a transaction increases `position`, and the transaction locks the
-- row until its commit, so that positions are in the order of the commits. The other values that need this order are here too:
-- the last record of the audit log, and the last number in `touched`. While `is_replica` is set, the store is a replica and
-- accepts only row images; `epoch` counts the switchovers. `fingerprint_key` is the key of the fingerprints of idempotent
-- calls, and is random for each store. `metadata_version` counts the changes of `metadata_names`.
CREATE TABLE throughline.store (
    id         integer PRIMARY KEY CHECK (id = 1),
    position   bigint  NOT NULL,
    kept_after bigint  NOT NULL,
    epoch      bigint  NOT NULL,
    is_replica  boolean NOT NULL,
    audit      bigint  NOT NULL,
    audit_hash bytea   NOT NULL,
    capture    bigint,
    listed     boolean NOT NULL,
    touched    bigint  NOT NULL,
    metadata_version bigint NOT NULL DEFAULT 0,
    fingerprint_key bytea NOT NULL DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);

INSERT INTO throughline.store (id, position, kept_after, epoch, is_replica, audit, audit_hash, capture, listed, touched)
VALUES (1, 0, 0, 0, false, 0, decode(repeat('00', 32), 'hex'), NULL, false, 0);

-- The last transaction of each writer. A writer that lost the answer to a commit looks up here whether it was committed.
CREATE TABLE throughline.writers (
    writer                  text        COLLATE "C" PRIMARY KEY,
    batch                   bigint      NOT NULL,
    fence_transaction_count bigint      NOT NULL,
    seen_at                 timestamptz NOT NULL
);

-- `entry` is the thread summary as JSON; a deleted thread has none. A clear or a deletion of the thread removed the messages up
-- to `floor`: reads do not return them, and while `purgeable` is set, some of their rows still exist in `messages`.
-- `active_slot` is the period of about one second that contains `active_at`: a second write within the period changes no
-- indexed column, so that Postgres writes the row and no index. `created_at` is null for a hidden and for a deleted thread: no
-- list shows it.
CREATE TABLE throughline.threads (
    tenant        text    COLLATE "C" NOT NULL,
    thread        text    COLLATE "C" NOT NULL,
    last_seq      bigint  NOT NULL,
    floor         bigint  NOT NULL,
    generation    bigint  NOT NULL,
    live          bigint  NOT NULL,
    names         bigint  NOT NULL,
    gone_at       bigint  NOT NULL,
    gone_question bigint  NOT NULL,
    deleted       boolean NOT NULL,
    purgeable     boolean NOT NULL,
    listed        boolean NOT NULL,
    archived      boolean NOT NULL,
    active_at     bigint  NOT NULL,
    active_slot   bigint  NOT NULL GENERATED ALWAYS AS (active_at >> 20) STORED,
    created_at    bigint,
    entry         text    COLLATE "C",
    PRIMARY KEY (tenant, thread)
) /*partitioned*/;

CREATE INDEX threads_by_activity ON throughline.threads (tenant, listed, archived, active_slot DESC)
    WHERE created_at IS NOT NULL;
CREATE INDEX threads_by_creation ON throughline.threads (tenant, listed, archived, created_at, thread)
    WHERE created_at IS NOT NULL;
CREATE INDEX threads_purgeable ON throughline.threads (tenant, thread) WHERE purgeable;

-- A copy of the labels, to find threads by them; the owner is the label with the empty name.
CREATE TABLE throughline.labels (
    tenant text COLLATE "C" NOT NULL,
    thread text COLLATE "C" NOT NULL,
    name   text COLLATE "C" NOT NULL,
    value  text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, name)
) /*partitioned*/;

CREATE INDEX labels_by_value ON throughline.labels (tenant, name, value, thread);

-- The change events of the whole store, in the order of the commits, without content.
CREATE TABLE throughline.changes (
    position bigint PRIMARY KEY,
    tenant   text   COLLATE "C" NOT NULL,
    thread   text   COLLATE "C" NOT NULL,
    at       bigint NOT NULL,
    kind     text   COLLATE "C" NOT NULL
);

-- While a message is open, its content is `[]`, and the table `chunks` keeps its chunks, from the number `first_chunk` on; the
-- column `chunks` is the number of the last one. The row of a deleted message is a tombstone, without a sequence number and
-- without content.
CREATE TABLE throughline.messages (
    tenant           text     COLLATE "C" NOT NULL,
    thread           text     COLLATE "C" NOT NULL,
    id               text     COLLATE "C" NOT NULL,
    seq              bigint,
    role             text     COLLATE "C" NOT NULL,
    state            text     COLLATE "C" NOT NULL,
    revision         bigint   NOT NULL,
    chunks           bigint   NOT NULL,
    first_chunk      bigint   NOT NULL,
    content_bytes    bigint   NOT NULL,
    tail             bigint   NOT NULL,
    lease_ms         bigint,
    lease_expires_at bigint,
    created_at       bigint   NOT NULL,
    updated_at       bigint   NOT NULL,
    metadata         text     COLLATE "C",
    attachments      text     COLLATE "C",
    abandon_reason   text     COLLATE "C",
    content          text     COLLATE "C",
    PRIMARY KEY (tenant, thread, id)
) /*partitioned*/;

CREATE UNIQUE INDEX messages_in_order ON throughline.messages (tenant, thread, seq) WHERE seq IS NOT NULL;
CREATE INDEX messages_open ON throughline.messages (tenant, thread, seq) WHERE state IN ('reserved', 'streaming');
CREATE INDEX messages_questions ON throughline.messages (tenant, thread, seq) WHERE role = 'user' AND state = 'final';

-- The chunks of open messages. Text is stored as bytes, because it may contain NUL, which a Postgres text cannot.
CREATE TABLE throughline.chunks (
    tenant text   COLLATE "C" NOT NULL,
    thread text   COLLATE "C" NOT NULL,
    id     text   COLLATE "C" NOT NULL,
    n      bigint NOT NULL,
    kind   bigint NOT NULL,
    delta  bytea  NOT NULL,
    PRIMARY KEY (tenant, thread, id, n)
) /*partitioned*/;

CREATE TABLE throughline.keys (
    tenant      text   COLLATE "C" NOT NULL,
    thread      text   COLLATE "C" NOT NULL,
    key         text   COLLATE "C" NOT NULL,
    created_at  bigint NOT NULL,
    fingerprint bytea  NOT NULL,
    replay      text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, key)
) /*partitioned*/;

-- The provider aliases of messages: the turn, item or event of a provider.
CREATE TABLE throughline.aliases (
    tenant     text   COLLATE "C" NOT NULL,
    thread     text   COLLATE "C" NOT NULL,
    n          bigint NOT NULL,
    generation bigint NOT NULL,
    seen       bigint NOT NULL,
    role       text   COLLATE "C" NOT NULL,
    turn       text   COLLATE "C",
    item       text   COLLATE "C",
    event      text   COLLATE "C",
    message    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, n)
) /*partitioned*/;

CREATE INDEX aliases_by_item ON throughline.aliases (tenant, thread, generation, item, turn, n) WHERE item IS NOT NULL;
CREATE INDEX aliases_by_turn ON throughline.aliases (tenant, thread, generation, turn, n) WHERE turn IS NOT NULL;
CREATE INDEX aliases_by_event ON throughline.aliases (tenant, thread, generation, event, n)
    WHERE item IS NULL AND turn IS NULL;
CREATE INDEX aliases_of_message ON throughline.aliases (tenant, thread, generation, message, n);

-- The cursor of each consumer of the change feed, and its quarantine.
CREATE TABLE throughline.consumers (
    tenant   text   COLLATE "C" NOT NULL,
    consumer text   COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, consumer)
);

CREATE TABLE throughline.quarantine (
    tenant   text   COLLATE "C" NOT NULL,
    consumer text   COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    at       bigint NOT NULL,
    thread   text   COLLATE "C" NOT NULL,
    why      bytea  NOT NULL,
    PRIMARY KEY (tenant, consumer, position)
);

-- The number of times that an agent was dropped, that all of its sessions were reset, and that a runtime was dropped.
CREATE TABLE throughline.session_agents (
    tenant      text   COLLATE "C" NOT NULL,
    agent       text   COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    resets      bigint NOT NULL,
    PRIMARY KEY (tenant, agent)
);

CREATE TABLE throughline.session_runtimes (
    tenant      text   COLLATE "C" NOT NULL,
    runtime     text   COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    PRIMARY KEY (tenant, runtime)
);

-- The pointer of an agent in a thread, and its current run: one value, which is always written as a whole.
CREATE TABLE throughline.session_heads (
    tenant      text   COLLATE "C" NOT NULL,
    thread      text   COLLATE "C" NOT NULL,
    agent       text   COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    head        text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, agent, incarnation)
) /*partitioned*/;

-- The sessions that runs have reported, each in the state after its latest run.
CREATE TABLE throughline.session_known (
    tenant      text    COLLATE "C" NOT NULL,
    thread      text    COLLATE "C" NOT NULL,
    agent       text    COLLATE "C" NOT NULL,
    incarnation bigint  NOT NULL,
    session     text    COLLATE "C" NOT NULL,
    generation  bigint,
    number      bigint,
    usable      boolean NOT NULL,
    provider    text    COLLATE "C",
    runtime     text    COLLATE "C",
    root        text    COLLATE "C",
    dropped     bigint,
    known       text    COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, agent, incarnation, session)
) /*partitioned*/;

CREATE INDEX session_known_in_order ON throughline.session_known (tenant, thread, agent, incarnation, generation, number)
    WHERE generation IS NOT NULL;
CREATE INDEX session_known_usable ON throughline.session_known
    (tenant, thread, agent, incarnation, generation, provider, runtime, root, dropped, number) WHERE usable;

-- Every run, in the order of their beginnings.
CREATE TABLE throughline.session_attempts (
    tenant      text   COLLATE "C" NOT NULL,
    thread      text   COLLATE "C" NOT NULL,
    agent       text   COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    attempt     text   COLLATE "C" NOT NULL,
    number      bigint NOT NULL,
    record      text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, agent, incarnation, attempt)
) /*partitioned*/;

CREATE UNIQUE INDEX session_attempts_in_order ON throughline.session_attempts
    (tenant, thread, agent, incarnation, number);

-- The audit log: one chain of records for the whole store. `thread` is null for a record about no single thread.
CREATE TABLE throughline.audit (
    number bigint PRIMARY KEY,
    tenant text   COLLATE "C" NOT NULL,
    thread text   COLLATE "C",
    hash   bytea  NOT NULL,
    body   text   COLLATE "C" NOT NULL
);

CREATE FUNCTION throughline.audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'an audit log is only ever added to';
END $$;

CREATE TRIGGER audit_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON throughline.audit
    FOR EACH STATEMENT EXECUTE FUNCTION throughline.audit_stays();

-- The metadata fields that hosts have declared as indexed. While a host adds the stored messages to the index of a new field,
-- it is not complete, and the last added message is recorded. A dropped field has no name; its row is deleted after its entries.
CREATE TABLE throughline.metadata_names (
    n                integer PRIMARY KEY,
    name             text    COLLATE "C" UNIQUE,
    is_complete      boolean NOT NULL,
    recovered_tenant text    COLLATE "C" NOT NULL,
    recovered_thread text    COLLATE "C" NOT NULL,
    recovered_id     text    COLLATE "C" NOT NULL
);

-- The index of metadata: an entry for each message and each declared field of it. `value` is the value with its type, or its
-- hash. The transaction that writes a message writes its entries. A read compares each message that it finds with the value.
CREATE TABLE throughline.metadata_values (
    tenant     text    COLLATE "C" NOT NULL,
    thread     text    COLLATE "C" NOT NULL,
    id         text    COLLATE "C" NOT NULL,
    n          integer NOT NULL,
    value      text    COLLATE "C" NOT NULL,
    created_at bigint  NOT NULL,
    seq        bigint  NOT NULL,
    PRIMARY KEY (tenant, thread, id, n)
) /*partitioned*/;

CREATE INDEX metadata_values_in_thread ON throughline.metadata_values (tenant, thread, n, value, seq);
CREATE INDEX metadata_values_of_tenant ON throughline.metadata_values (tenant, n, value, created_at, thread, seq);

-- The progress of this replica: the cursor that its primary issued.
CREATE TABLE throughline.followed (
    id     integer PRIMARY KEY CHECK (id = 1),
    cursor text    COLLATE "C" NOT NULL
);

-- While `store.capture` has a number, a mirror copies the store. `listed` is the snapshot: the keys of the rows that existed
-- when the capture began. `touched` is the dirty set: each row that changed since then, once, in the order of its last change.
CREATE TABLE throughline.listed (
    n    bigint  PRIMARY KEY,
    kind integer NOT NULL,
    key  text    COLLATE "C" NOT NULL
);

CREATE TABLE throughline.touched (
    n    bigint  PRIMARY KEY,
    kind integer NOT NULL,
    key  text    COLLATE "C" NOT NULL,
    UNIQUE (kind, key)
);

-- The full-text index of final messages. It is updated after the commits: see `search_state`. The tenant prefix precedes each
-- term, so that the cost of a search depends on the messages of its own tenant. The `A` to `D` label of a term is its frequency. A
-- message with very many terms has several parts. A search compares each hit with the message.
CREATE TABLE throughline.search (
    tenant     text     COLLATE "C" NOT NULL,
    thread     text     COLLATE "C" NOT NULL,
    id         text     COLLATE "C" NOT NULL,
    part       integer  NOT NULL,
    seq        bigint   NOT NULL,
    created_at bigint   NOT NULL,
    words      tsvector NOT NULL,
    PRIMARY KEY (tenant, thread, id, part)
) /*partitioned*/;

-- Postgres collects additions in the pending list, up to one mebibyte, before it merges them; a search also reads that list.
CREATE INDEX search_words ON throughline.search USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- The progress of the full-text index; the host that extends the index locks the row. A `complete` index has all changes up to
-- `indexed`. During a rebuild, `recovered` is the last message that was indexed. Removals up to the position `cleaned` are also
-- removed from the index. `tokenizer` names the tokenizer of the index. The tenant prefixes derive from `key`, so that no caller
-- can choose two tenants with the same prefix.
CREATE TABLE throughline.search_state (
    id           integer PRIMARY KEY CHECK (id = 1),
    indexed      bigint  NOT NULL,
    cleaned      bigint  NOT NULL,
    complete     boolean NOT NULL,
    recovered_tenant text    COLLATE "C",
    recovered_thread text    COLLATE "C",
    recovered_id     text    COLLATE "C",
    tokenizer    text    COLLATE "C" NOT NULL,
    key          bytea   NOT NULL
);

INSERT INTO throughline.search_state (id, indexed, cleaned, complete, tokenizer, key) VALUES
    (1, 0, 0, false, 'words', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
