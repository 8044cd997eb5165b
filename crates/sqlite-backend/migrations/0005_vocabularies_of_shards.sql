-- A lookup of a term in a shard of the full-text index reads a page of each segment of the index. Most shards of a large store do
-- not have a rare term. A vocabulary has the terms of up to 64 shards, each with the shards that have it.
--
-- `has_vocabulary` is NULL for the last shard of each tenant, which takes the terms of new messages. For each other shard it is 0
-- until the vocabulary has all of its terms, and then 1. It is 2 after a change of the terms, until the vocabulary has none of the
-- shard. `vocabulary_end` is the last term that was added or removed meanwhile.
ALTER TABLE search_shards ADD COLUMN has_vocabulary INTEGER;
ALTER TABLE search_shards ADD COLUMN vocabulary_end TEXT NOT NULL DEFAULT '';

UPDATE search_shards SET has_vocabulary = 0 WHERE EXISTS (
    SELECT 1 FROM search_shards later WHERE later.tenant = search_shards.tenant AND later.first_pk > search_shards.first_pk
);

CREATE INDEX search_shards_without_vocabulary ON search_shards (has_vocabulary) WHERE has_vocabulary <> 1;

-- The terms of the shards `64 * part` to `64 * part + 63` that are of the tenant, in order. `terms` has one line for each: the
-- term without the prefix of a shard, a space, and the shards that have it, as a hexadecimal number whose lowest bit is the first shard.
-- `first` is the first term of the row.
CREATE TABLE search_vocabulary (
    row_pk INTEGER PRIMARY KEY,
    tenant TEXT    NOT NULL,
    part   INTEGER NOT NULL,
    first  TEXT    NOT NULL,
    terms  TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX search_vocabulary_in_order ON search_vocabulary (tenant, part, first);

-- The terms of all shards, read from the index.
CREATE VIRTUAL TABLE search_terms USING fts5vocab (search, row);
