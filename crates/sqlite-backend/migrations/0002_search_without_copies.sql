-- The full-text index no longer holds a copy of the terms of each message. The writer builds it again from the messages.
DROP TABLE search;
DELETE FROM search_shards;
UPDATE search_state SET indexed = 0, recovered = NULL, complete = 0;

-- The distinct terms of each final message: in `four` those that occur four times or more, and in the next columns those that
-- occur three times, twice and once. `thread` has the term of its thread. The number of the shard precedes each other term: a
-- query names the shards of its tenant, and reads no other. The table has no content: the terms of a message are computed
-- again from its text to remove them. Secure deletion removes them from the pages. With `detail = none`, the secure
-- deletion of SQLite 3.51 loses rows of a term when one transaction replaces a row.
CREATE VIRTUAL TABLE search USING fts5 (
    four, three, twice, once, thread,
    content = '', detail = column, columnsize = 0, tokenize = "ascii tokenchars '.'"
);

INSERT INTO search (search, rank) VALUES ('secure-delete', 1);

-- The messages in the full-text index, with the values that order equal hits. `digest` is the hash of their terms, so that the
-- writer detects that a text is no longer the one that it indexed. `terms` are the terms of a message whose text is in a
-- file, in one line for each column of the index: the file can be removed first.
CREATE TABLE search_messages (
    message_pk INTEGER PRIMARY KEY,
    shard      INTEGER NOT NULL,
    thread_pk  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    digest     INTEGER NOT NULL,
    terms      TEXT
) STRICT;

-- The content that was indexed of messages that have another one now, or none, until the writer has removed its terms.
CREATE TABLE search_replaced (
    message_pk INTEGER PRIMARY KEY,
    content    TEXT NOT NULL
) STRICT;

CREATE TRIGGER search_keeps_replaced BEFORE UPDATE OF content ON messages
WHEN EXISTS (SELECT 1 FROM search_messages WHERE message_pk = OLD.message_pk) BEGIN
    INSERT INTO search_replaced (message_pk, content) SELECT OLD.message_pk, OLD.content
    WHERE NOT EXISTS (SELECT 1 FROM search_replaced WHERE message_pk = OLD.message_pk);
END;

CREATE TRIGGER search_keeps_deleted BEFORE DELETE ON messages
WHEN EXISTS (SELECT 1 FROM search_messages WHERE message_pk = OLD.message_pk) BEGIN
    INSERT INTO search_replaced (message_pk, content) SELECT OLD.message_pk, OLD.content
    WHERE NOT EXISTS (SELECT 1 FROM search_replaced WHERE message_pk = OLD.message_pk);
END;
