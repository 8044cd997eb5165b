-- Chats of the PyPI package open-webui 0.12.4: its tables after its migrations, and chats that its own functions wrote.
BEGIN TRANSACTION;
CREATE TABLE chat (
	id VARCHAR NOT NULL, 
	user_id VARCHAR, 
	title TEXT, 
	created_at BIGINT, 
	updated_at BIGINT, 
	share_id TEXT, 
	archived BOOLEAN, chat JSON, pinned BOOLEAN, meta JSON DEFAULT '{}' NOT NULL, folder_id TEXT, tasks JSON, summary TEXT, last_read_at BIGINT, current_message_id TEXT, variables JSON, timer_at BIGINT, 
	PRIMARY KEY (id), 
	UNIQUE (share_id)
);
INSERT INTO "chat" VALUES('c1','u1','Numbers',1761699578,1761699600,NULL,0,'{"title":"Numbers","models":["llama3","gpt-4o"],"history":{"messages":{"q1":{"id":"q1","parentId":null,"childrenIds":["a1","a2"],"role":"user","content":"Which is larger?","timestamp":1761699578,"models":["llama3","gpt-4o"],"files":[{"type":"file","name":"plan.pdf","id":"f1","url":"f1"}]},"a1":{"id":"a1","parentId":"q1","childrenIds":[],"role":"assistant","content":"<details type=\"reasoning\" done=\"true\" duration=\"2\">\n<summary>Thought for 2 seconds</summary>\n&gt; compare\n</details>\nTen.","timestamp":1761699579,"model":"llama3","modelName":"Llama 3","modelIdx":0,"done":true,"usage":{"prompt_tokens":3,"completion_tokens":5}},"a2":{"id":"a2","parentId":"q1","childrenIds":["q2"],"role":"assistant","content":"Ten is larger.","timestamp":1761699580,"model":"gpt-4o","modelName":"GPT-4o","modelIdx":1,"done":true,"sources":[{"source":{"name":"web"}}]},"q2":{"id":"q2","parentId":"a2","content":"And why?","role":"user","childrenIds":["a3","a4"],"timestamp":1761699587,"user_id":"u1","user":{"id":"u1","name":"Ada"}},"a3":{"id":"a3","parentId":"q2","childrenIds":[],"role":"assistant","content":"Because 10 > 9.","done":true,"model":"gpt-4o","modelIdx":null,"timestamp":1761699588,"user_id":"u1","output":[{"type":"reasoning","id":"r_1","content":[{"type":"output_text","text":"think"}]},{"type":"function_call","call_id":"call_1","name":"calc","arguments":"{\"a\":1}"},{"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"2"}]},{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Because 10 > 9."}]}]},"a4":{"role":"assistant","parentId":"q2","content":"","error":{"content":"model not found"},"done":true,"timestamp":1761699598,"id":"a4","childrenIds":[]}},"currentId":"a4"},"messages":[]}',1,'{"tags":["math"]}','f1','null',NULL,1761699600,'a4','{}',NULL);
INSERT INTO "chat" VALUES('c2','u1','Imported',1761699578,1761699600,NULL,1,'{"title":"Imported","history":{"currentId":"x2","messages":{"x1":{"id":"x1","parentId":null,"childrenIds":[],"role":"user","content":"hi","timestamp":1761699578000},"x2":{"id":"x2","parentId":"x1","childrenIds":[],"role":"assistant","content":"hello","timestamp":1761699579000}}}}',0,'{}',NULL,'null',NULL,1761699600,'x2','{}',NULL);
INSERT INTO "chat" VALUES('c3','u1','Old',1761699578,1761699600,NULL,0,'{"title":"Old","messages":[{"role":"user","content":"no id"},{"role":"assistant","content":"answer"}]}',0,'{}',NULL,'null',NULL,1761699600,NULL,'{}',NULL);
CREATE TABLE chat_message (
	id TEXT NOT NULL, 
	chat_id TEXT NOT NULL, 
	user_id TEXT, 
	role TEXT NOT NULL, 
	parent_id TEXT, 
	content JSON, 
	output JSON, 
	model_id TEXT, 
	files JSON, 
	sources JSON, 
	embeds JSON, 
	done BOOLEAN, 
	status_history JSON, 
	error JSON, 
	usage JSON, 
	created_at BIGINT, 
	updated_at BIGINT, context_summary TEXT, meta JSON, 
	PRIMARY KEY (id), 
	FOREIGN KEY(chat_id) REFERENCES chat (id) ON DELETE CASCADE
);
INSERT INTO "chat_message" VALUES('c1-q1','c1','u1','user',NULL,'"Which is larger?"','null',NULL,'[{"type":"file","name":"plan.pdf","id":"f1","url":"f1"}]','null','null',1,'null','null','null',1761699578,1761699600,NULL,'null');
INSERT INTO "chat_message" VALUES('c1-a1','c1','u1','assistant','q1','"<details type=\"reasoning\" done=\"true\" duration=\"2\">\n<summary>Thought for 2 seconds</summary>\n&gt; compare\n</details>\nTen."','null','llama3','null','null','null',1,'null','null','{"prompt_tokens":3,"completion_tokens":5,"input_tokens":3,"output_tokens":5,"total_tokens":8}',1761699579,1761699600,NULL,'null');
INSERT INTO "chat_message" VALUES('c1-a2','c1','u1','assistant','q1','"Ten is larger."','null','gpt-4o','null','[{"source":{"name":"web"}}]','null',1,'null','null','null',1761699580,1761699600,NULL,'null');
INSERT INTO "chat_message" VALUES('c1-q2','c1','u1','user','a2','"And why?"','null',NULL,'null','null','null',1,'null','null','null',1761699587,1761699600,NULL,'null');
INSERT INTO "chat_message" VALUES('c1-a3','c1','u1','assistant','q2','"Because 10 > 9."','[{"type":"reasoning","id":"r_1","content":[{"type":"output_text","text":"think"}]},{"type":"function_call","call_id":"call_1","name":"calc","arguments":"{\"a\":1}"},{"type":"function_call_output","call_id":"call_1","output":[{"type":"input_text","text":"2"}]},{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Because 10 > 9."}]}]','gpt-4o','null','null','null',1,'null','null','null',1761699588,1761699600,NULL,'null');
INSERT INTO "chat_message" VALUES('c1-a4','c1','u1','assistant','q2','""','null',NULL,'null','null','null',1,'null','{"content":"model not found"}','null',1761699598,1761699600,NULL,'null');
INSERT INTO "chat_message" VALUES('c2-x1','c2','u1','user',NULL,'"hi"','null',NULL,'null','null','null',1,'null','null','null',1761699578,1761699600,NULL,'null');
INSERT INTO "chat_message" VALUES('c2-x2','c2','u1','assistant','x1','"hello"','null',NULL,'null','null','null',1,'null','null','null',1761699578,1761699600,NULL,'null');
CREATE TABLE "folder" (
	id TEXT NOT NULL, 
	parent_id TEXT, 
	user_id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	items JSON, 
	meta JSON, 
	is_expanded BOOLEAN NOT NULL, 
	created_at BIGINT NOT NULL, 
	updated_at BIGINT NOT NULL, data JSON, 
	PRIMARY KEY (id, user_id)
);
INSERT INTO "folder" VALUES('f1',NULL,'u1','Work','null','null',0,1761699570,1761699570,'null');
CREATE TABLE "user" (
	id VARCHAR NOT NULL, 
	name VARCHAR, 
	email VARCHAR, 
	role VARCHAR, 
	profile_image_url TEXT, 
	last_active_at BIGINT, 
	updated_at BIGINT, 
	created_at BIGINT, 
	username VARCHAR(50), 
	bio TEXT, 
	gender TEXT, 
	date_of_birth DATE, 
	profile_banner_image_url TEXT, 
	timezone VARCHAR, 
	presence_state VARCHAR, 
	status_emoji VARCHAR, 
	status_message TEXT, 
	status_expires_at BIGINT, 
	oauth JSON, 
	info JSON, 
	settings JSON, scim JSON, variables JSON, 
	PRIMARY KEY (id)
);
INSERT INTO "user" VALUES('u1','Ada',NULL,'admin',NULL,1761699570,1761699570,1761699570,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'null','null','null','null',NULL);
CREATE INDEX folder_id_idx ON chat (folder_id);
CREATE INDEX user_id_pinned_idx ON chat (user_id, pinned);
CREATE INDEX user_id_archived_idx ON chat (user_id, archived);
CREATE INDEX updated_at_user_id_idx ON chat (updated_at, user_id);
CREATE INDEX folder_id_user_id_idx ON chat (folder_id, user_id);
CREATE INDEX ix_chat_message_model_id ON chat_message (model_id);
CREATE INDEX ix_chat_message_user_id ON chat_message (user_id);
CREATE INDEX ix_chat_message_chat_id ON chat_message (chat_id);
CREATE INDEX ix_chat_message_created_at ON chat_message (created_at);
CREATE INDEX chat_message_chat_parent_idx ON chat_message (chat_id, parent_id);
CREATE INDEX chat_message_model_created_idx ON chat_message (model_id, created_at);
CREATE INDEX chat_message_user_created_idx ON chat_message (user_id, created_at);
CREATE INDEX timer_at_idx ON chat (timer_at) WHERE timer_at IS NOT NULL;
CREATE INDEX user_id_updated_at_id_idx ON chat (user_id, updated_at DESC, id);
CREATE INDEX user_id_timer_at_idx ON chat (user_id, timer_at) WHERE timer_at IS NOT NULL;
CREATE INDEX chat_message_chat_role_done_idx ON chat_message (chat_id, role, done);
COMMIT;
