-- AdvancedSQLiteSessions of the PyPI package openai-agents 0.24.0 with tables of other names: a branch of a branch, a
-- branch from the first turn, the usage of a turn, and a session whose only item was removed.
BEGIN TRANSACTION;
CREATE TABLE branch_reservations (
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL,
                PRIMARY KEY (session_id, branch_id)
            );
INSERT INTO "branch_reservations" VALUES('s','main');
INSERT INTO "branch_reservations" VALUES('s','b1');
INSERT INTO "branch_reservations" VALUES('s','b2');
INSERT INTO "branch_reservations" VALUES('s','b0');
INSERT INTO "branch_reservations" VALUES('emptied','main');
CREATE TABLE message_structure (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                message_id INTEGER NOT NULL,
                branch_id TEXT NOT NULL DEFAULT 'main',
                message_type TEXT NOT NULL,
                sequence_number INTEGER NOT NULL,
                user_turn_number INTEGER,
                branch_turn_number INTEGER,
                tool_name TEXT,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id)
                    REFERENCES my_sessions(session_id) ON DELETE CASCADE,
                FOREIGN KEY (message_id)
                    REFERENCES my_messages(id) ON DELETE CASCADE
            );
INSERT INTO "message_structure" VALUES(1,'s',1,'main','user',1,1,1,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(2,'s',2,'main','assistant',2,1,1,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(3,'s',3,'main','user',3,2,2,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(4,'s',4,'main','assistant',4,2,2,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(5,'s',1,'b1','user',5,1,1,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(6,'s',2,'b1','assistant',6,1,1,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(7,'s',5,'b1','user',7,2,2,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(8,'s',6,'b1','assistant',8,2,2,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(9,'s',7,'b1','user',9,3,3,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(10,'s',8,'b1','assistant',10,3,3,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(11,'s',1,'b2','user',11,1,1,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(12,'s',2,'b2','assistant',12,1,1,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(13,'s',5,'b2','user',13,2,2,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(14,'s',6,'b2','assistant',14,2,2,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(15,'s',9,'b2','user',15,3,3,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(16,'s',10,'b0','user',16,1,1,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(17,'s',11,'main','user',17,3,3,NULL,'2026-11-25 08:39:30');
INSERT INTO "message_structure" VALUES(18,'s',12,'main','assistant',18,3,3,NULL,'2026-11-25 08:39:30');
CREATE TABLE my_messages (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                message_data TEXT NOT NULL,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id) REFERENCES my_sessions (session_id)
                    ON DELETE CASCADE
            );
INSERT INTO "my_messages" VALUES(1,'s','{"role": "user", "content": "q1"}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(2,'s','{"type": "message", "role": "assistant", "id": "msg_a1", "status": "completed", "content": [{"type": "output_text", "text": "a1", "annotations": []}]}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(3,'s','{"role": "user", "content": "q2"}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(4,'s','{"type": "message", "role": "assistant", "id": "msg_a2", "status": "completed", "content": [{"type": "output_text", "text": "a2", "annotations": []}]}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(5,'s','{"role": "user", "content": "q2b"}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(6,'s','{"type": "message", "role": "assistant", "id": "msg_a2b", "status": "completed", "content": [{"type": "output_text", "text": "a2b", "annotations": []}]}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(7,'s','{"role": "user", "content": "q3b"}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(8,'s','{"type": "message", "role": "assistant", "id": "msg_a3b", "status": "completed", "content": [{"type": "output_text", "text": "a3b", "annotations": []}]}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(9,'s','{"role": "user", "content": "q3c"}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(10,'s','{"role": "user", "content": "q1z"}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(11,'s','{"role": "user", "content": "q3"}','2026-11-25 08:39:30');
INSERT INTO "my_messages" VALUES(12,'s','{"type": "message", "role": "assistant", "id": "msg_a3", "status": "completed", "content": [{"type": "output_text", "text": "a3", "annotations": []}]}','2026-11-25 08:39:30');
CREATE TABLE my_sessions (
                session_id TEXT PRIMARY KEY,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            );
INSERT INTO "my_sessions" VALUES('s','2026-11-25 08:39:30','2026-11-25 08:39:30');
INSERT INTO "my_sessions" VALUES('emptied','2026-11-25 08:39:30','2026-11-25 08:39:30');
CREATE TABLE session_clear_generations (
                session_id TEXT PRIMARY KEY,
                generation INTEGER NOT NULL DEFAULT 0
            );
INSERT INTO "session_clear_generations" VALUES('s',0);
INSERT INTO "session_clear_generations" VALUES('emptied',0);
CREATE TABLE turn_usage (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL DEFAULT 'main',
                user_turn_number INTEGER NOT NULL,
                requests INTEGER DEFAULT 0,
                input_tokens INTEGER DEFAULT 0,
                output_tokens INTEGER DEFAULT 0,
                total_tokens INTEGER DEFAULT 0,
                input_tokens_details JSON,
                output_tokens_details JSON,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id)
                    REFERENCES my_sessions(session_id) ON DELETE CASCADE,
                UNIQUE(session_id, branch_id, user_turn_number)
            );
INSERT INTO "turn_usage" VALUES(1,'s','main',2,1,10,5,15,'{"cache_write_tokens": 0, "cached_tokens": 0, "cache_write_tokens_details": null}','{"reasoning_tokens": 0}','2026-11-25 08:39:30');
CREATE INDEX idx_my_messages_session_id
            ON my_messages (session_id, id)
        ;
CREATE INDEX idx_structure_session_seq
            ON message_structure(session_id, sequence_number)
        ;
CREATE INDEX idx_structure_branch
            ON message_structure(session_id, branch_id)
        ;
CREATE INDEX idx_structure_turn
            ON message_structure(session_id, branch_id, user_turn_number)
        ;
CREATE INDEX idx_structure_branch_seq
            ON message_structure(session_id, branch_id, sequence_number)
        ;
CREATE INDEX idx_turn_usage_session_turn
            ON turn_usage(session_id, branch_id, user_turn_number)
        ;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('my_messages',13);
INSERT INTO "sqlite_sequence" VALUES('message_structure',19);
INSERT INTO "sqlite_sequence" VALUES('turn_usage',1);
COMMIT;
