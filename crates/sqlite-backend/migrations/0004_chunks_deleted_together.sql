-- The chunks of messages that were written at the same time lie between each other, so that the deletion of those of one message
-- writes nearly a page for each of them. The end of a message with many chunks only adds it to this table, and the writer deletes
-- the chunks of all messages in it together, in the order of their keys. The row of the message has its content already, and counts
-- no chunks.
--
-- `last_append` is the key of the last chunk, and `appends` the number of chunks. `entry` is a random number: the id of a deleted
-- message can be used again, and so can the key of a deleted chunk.
CREATE TABLE obsolete_chunks (
    message_pk  INTEGER PRIMARY KEY,
    last_append INTEGER NOT NULL,
    appends     INTEGER NOT NULL,
    entry       INTEGER NOT NULL
) STRICT;
