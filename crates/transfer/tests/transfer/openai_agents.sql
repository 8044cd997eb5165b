-- An AdvancedSQLiteSession of the PyPI package openai-agents 0.24.0: a session with the branch `other`.
BEGIN TRANSACTION;
CREATE TABLE agent_messages (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                session_id TEXT NOT NULL,
                message_data TEXT NOT NULL,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                FOREIGN KEY (session_id) REFERENCES agent_sessions (session_id)
                    ON DELETE CASCADE
            );
INSERT INTO "agent_messages" VALUES(1,'user-7','{"role": "user", "content": "What is the weather in Paris?"}','2026-11-25 03:44:38');
INSERT INTO "agent_messages" VALUES(2,'user-7','{"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Paris\"}"}','2026-11-25 03:44:38');
INSERT INTO "agent_messages" VALUES(3,'user-7','{"type": "function_call_output", "call_id": "call_1", "output": "sunny"}','2026-11-25 03:44:38');
INSERT INTO "agent_messages" VALUES(4,'user-7','{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "It is sunny.", "annotations": []}]}','2026-11-25 03:44:38');
INSERT INTO "agent_messages" VALUES(5,'user-7','{"role": "user", "content": "And in Nice?"}','2026-11-25 03:44:38');
INSERT INTO "agent_messages" VALUES(6,'user-7','{"id": "msg_2", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "Sunny, too.", "annotations": []}]}','2026-11-25 03:44:38');
INSERT INTO "agent_messages" VALUES(7,'user-7','{"role": "user", "content": "And in Lyon?"}','2026-11-25 03:44:38');
INSERT INTO "agent_messages" VALUES(8,'user-7','{"id": "msg_3", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "And in Lyon it rains.", "annotations": []}]}','2026-11-25 03:44:38');
CREATE TABLE agent_sessions (
                session_id TEXT PRIMARY KEY,
                created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
                updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
            );
INSERT INTO "agent_sessions" VALUES('user-7','2026-11-25 03:44:38','2026-11-25 03:44:38');
CREATE TABLE branch_reservations (
                session_id TEXT NOT NULL,
                branch_id TEXT NOT NULL,
                PRIMARY KEY (session_id, branch_id)
            );
INSERT INTO "branch_reservations" VALUES('user-7','main');
INSERT INTO "branch_reservations" VALUES('user-7','other');
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
                    REFERENCES agent_sessions(session_id) ON DELETE CASCADE,
                FOREIGN KEY (message_id)
                    REFERENCES agent_messages(id) ON DELETE CASCADE
            );
INSERT INTO "message_structure" VALUES(1,'user-7',1,'main','user',1,1,1,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(2,'user-7',2,'main','function_call',2,1,1,'weather','2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(3,'user-7',3,'main','function_call_output',3,1,1,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(4,'user-7',4,'main','assistant',4,1,1,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(5,'user-7',5,'main','user',5,2,2,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(6,'user-7',6,'main','assistant',6,2,2,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(7,'user-7',1,'other','user',7,1,1,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(8,'user-7',2,'other','function_call',8,1,1,'weather','2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(9,'user-7',3,'other','function_call_output',9,1,1,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(10,'user-7',4,'other','assistant',10,1,1,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(11,'user-7',7,'other','user',11,2,2,NULL,'2026-11-25 03:44:38');
INSERT INTO "message_structure" VALUES(12,'user-7',8,'other','assistant',12,2,2,NULL,'2026-11-25 03:44:38');
CREATE TABLE session_clear_generations (
                session_id TEXT PRIMARY KEY,
                generation INTEGER NOT NULL DEFAULT 0
            );
INSERT INTO "session_clear_generations" VALUES('user-7',0);
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
                    REFERENCES agent_sessions(session_id) ON DELETE CASCADE,
                UNIQUE(session_id, branch_id, user_turn_number)
            );
CREATE INDEX idx_agent_messages_session_id
            ON agent_messages (session_id, id)
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
INSERT INTO "sqlite_sequence" VALUES('agent_messages',8);
INSERT INTO "sqlite_sequence" VALUES('message_structure',12);
COMMIT;
