-- The store as a whole, in one row. A transaction raises `position` as its last statement and holds the row until it has
-- committed, so that positions are in the order of the commits. What has to be known in that order stands here too: the last
-- entry of the log of who did what, and which number that store has given last of what was touched. While it follows another store
-- it takes no writes but images of that; `epoch` counts how often it changed which of the two leads. Fingerprints of idempotent calls
-- are keyed with `fingerprint_key`, which is random for each store.
CREATE TABLE throughline.store (
    id         integer PRIMARY KEY CHECK (id = 1),
    position   bigint  NOT NULL,
    kept_after bigint  NOT NULL,
    epoch      bigint  NOT NULL,
    following  boolean NOT NULL,
    audit      bigint  NOT NULL,
    audit_hash bytea   NOT NULL,
    capture    bigint,
    listed     boolean NOT NULL,
    touched    bigint  NOT NULL,
    fingerprint_key bytea NOT NULL DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);

INSERT INTO throughline.store (id, position, kept_after, epoch, following, audit, audit_hash, capture, listed, touched)
VALUES (1, 0, 0, 0, false, 0, decode(repeat('00', 32), 'hex'), NULL, false, 0);

-- The last transaction of each writer: what is looked up when nobody has heard whether it was committed.
CREATE TABLE throughline.writers (
    writer  text        COLLATE "C" PRIMARY KEY,
    batch   bigint      NOT NULL,
    fences  bigint      NOT NULL,
    seen_at timestamptz NOT NULL
);

-- `entry` is what lists show of a thread, as JSON; a deleted thread has none. Messages up to `floor` went when the thread was
-- cleared or deleted: nobody is shown them, and while `purgeable` says so some still stand in `messages`. `active_slot` is the second,
-- or nearly, of `active_at`: a row that is written again within it keeps its place in every index, and is written once instead of
-- in each of them.
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
    entry         text    COLLATE "C",
    PRIMARY KEY (tenant, thread)
) /*partitioned*/;

CREATE INDEX threads_by_activity ON throughline.threads (tenant, archived, active_slot DESC) WHERE listed;
CREATE INDEX threads_purgeable ON throughline.threads (tenant, thread) WHERE purgeable;

-- The labels once more, to find threads by them; the owner stands here under the empty name.
CREATE TABLE throughline.labels (
    tenant text COLLATE "C" NOT NULL,
    thread text COLLATE "C" NOT NULL,
    name   text COLLATE "C" NOT NULL,
    value  text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, name)
) /*partitioned*/;

CREATE INDEX labels_by_value ON throughline.labels (tenant, name, value, thread);

-- What was changed, in the order of the commits, without any content. It is of the whole store, and so keyed by the position.
CREATE TABLE throughline.changes (
    position bigint PRIMARY KEY,
    tenant   text   COLLATE "C" NOT NULL,
    thread   text   COLLATE "C" NOT NULL,
    at       bigint NOT NULL,
    what     text   COLLATE "C" NOT NULL
);

-- While a message is open its content is `[]`, and what was written stands in `pieces`, from the number `first_piece` on. A
-- deleted message keeps its row, without its place and without anything that was said, so that its id stays dead.
CREATE TABLE throughline.messages (
    tenant           text     COLLATE "C" NOT NULL,
    thread           text     COLLATE "C" NOT NULL,
    id               text     COLLATE "C" NOT NULL,
    seq              bigint,
    role             text     COLLATE "C" NOT NULL,
    state            text     COLLATE "C" NOT NULL,
    revision         bigint   NOT NULL,
    pieces           bigint   NOT NULL,
    first_piece      bigint   NOT NULL,
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

-- What was written to open messages, piece by piece. Text is bytes here: it may hold what a text of Postgres may not.
CREATE TABLE throughline.pieces (
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

-- By what names messages are known to who made them: a provider's turn, item or event.
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

-- How far each consumer of the changes has come, and what it has passed over.
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

-- How often an agent was dropped and its sessions were reset as a whole, and how often a runtime was dropped.
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

-- Where an agent goes on in a thread, and who runs: one value, only ever written whole.
CREATE TABLE throughline.session_heads (
    tenant      text   COLLATE "C" NOT NULL,
    thread      text   COLLATE "C" NOT NULL,
    agent       text   COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    head        text   COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, thread, agent, incarnation)
) /*partitioned*/;

-- The sessions that runs have reported, each as the latest run on it left it.
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

-- Every run, in the order in which they began.
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

-- Who did what: one chain of the whole store, and so keyed by its numbers. `thread` is the one that an entry is about alone.
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

-- How far this store has followed another one, in the words of that.
CREATE TABLE throughline.followed (
    id     integer PRIMARY KEY CHECK (id = 1),
    cursor text    COLLATE "C" NOT NULL
);

-- While `store.capture` has a number somebody copies the store. What there was when that began is listed once, by the keys of the
-- rows; each row that was changed since stands in `touched` instead, once, in the order in which they were changed last.
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

-- The full-text index of final messages, made from these, behind the commits: see `search_state`. Before each term stands a prefix of
-- its tenant, so that a search costs what its own messages say; a row says whose it is. A label says how often the term occurs. A message
-- with very many terms has several parts. What is found is compared with the message.
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

-- What is added waits in a list until there is a mebibyte of it: a search reads that list.
CREATE INDEX search_words ON throughline.search USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- How far the index is; who goes on with it holds the row. It has every change up to `indexed`, if it is `complete`: otherwise the
-- messages are being gone through, up to the one that was `recovered` last. What went from the store up to `cleaned` has gone from it.
-- `tokenizer` says how it divides a text into terms; `key` makes the prefixes of the tenants, so that no caller can name two tenants that
-- have the same one.
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
