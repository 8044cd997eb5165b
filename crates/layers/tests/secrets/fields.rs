//! Structured arguments: names hide the values inside of them.

use serde_json::{Value, json};
use throughline_core::{
    Admitted, Backend, Capabilities, Content, Durability, NewMessage, OpKind, Persistence, Reply, Result,
    Role, Seq, Timestamp, messages::Add,
};
use throughline_layers::redact::RedactLayer;

/// A store that returns the content that it receives.
struct Echo;

impl Backend for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Add])
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        let (op, context, _) = call.into_parts();
        let message = op.to_message(context.tenant(), Seq::FIRST, Timestamp::from_micros(0));
        Ok(Reply::new(throughline_core::messages::Added { message, deduplicated: false }))
    }
}

async fn stored(input: &Value) -> Value {
    let db = Persistence::builder().layer(RedactLayer::secrets()).backend(Echo).build().unwrap();
    let content = Content::from_blocks(&json!([{ "type": "tool_use", "input": input }])).unwrap();
    let message = db.thread("t").add(NewMessage::new(Role::Assistant, content)).await.unwrap().message;
    let blocks: Value = serde_json::from_str(message.content.as_json()).unwrap();
    blocks[0]["input"].clone()
}

#[tokio::test]
async fn secrets_are_hidden_under_their_names_at_any_depth() {
    for input in [
        json!({"env": {"AWS_SECRET_ACCESS_KEY": "S3CR3Tvalue"}}),
        json!({"DB_PASSWORD": "S3CR3Tvalue"}),
        json!({"token": "S3CR3Tvalue"}),
        json!({"secret": "S3CR3Tvalue"}),
        json!({"headers": {"X-Api-Key": "S3CR3Tvalue"}}),
        json!({"headers": {"Authorization": "Basic S3CR3Tvalue"}}),
        json!({"headers": {"authorization": "Bearer S3CR3Tvalue"}}),
        json!({"headers": [["Authorization", "Basic S3CR3Tvalue"]]}),
        json!({"headers": [{"name": "X-Api-Key", "value": "S3CR3Tvalue"}]}),
        json!({"env": [{"value": "S3CR3Tvalue", "name": "DB_PASSWORD"}]}),
        json!({"new_password": "S3CR3Tvalue"}),
        json!({"password": ["S3CR3Tvalue", {"old": "S3CR3Tvalue", "more": ["S3CR3Tvalue"]}]}),
        json!({"passwords": {"bob": "S3CR3Tvalue"}}),
        json!({"credentials": {"user": {"deep": [[{"x": "S3CR3Tvalue"}]]}}}),
        json!({"aws-secret_accessKey": "S3CR3Tvalue"}),
        json!({"clientSecret": "S3CR3Tvalue"}),
        json!({"access_token": "S3CR3Tvalue", "refreshToken": "S3CR3Tvalue"}),
        json!({"command": ["mysql", "--password", "S3CR3Tvalue"]}),
        json!({"command": ["mysql", "--password=S3CR3Tvalue"]}),
        json!({"arguments": "{\"password\": [\"S3CR3Tvalue\"], \"n\": 1}"}),
        json!({"arguments": "{\"inner\": \"{\\\"credentials\\\": {\\\"a\\\": [\\\"S3CR3Tvalue\\\"]}}\"}"}),
        json!({"body": "password=S3CR3Tvalue&x=1"}),
        json!({"password": "S3CR3Tvalue with blanks"}),
        json!({"passphrase": 5_317_224_911_u64, "x": "y"}),
        json!({"privateKey": "S3CR3Tvalue"}),
        json!({"auth": {"password": "S3CR3Tvalue"}}),
        json!({"Cookie": "sid=S3CR3Tvalue"}),
        json!({"GITHUB_PAT": "S3CR3Tvalue"}),
        json!({"otp": 5_317_224_911_u64}),
        json!({"PGPASSWORD": "S3CR3Tvalue"}),
        json!({"recovery_codes": ["S3CR3Tvalue", "5317224911"]}),
        json!({"properties": {"administratorLoginPassword": "S3CR3Tvalue"}}),
        json!({"properties": {"password": {"value": "S3CR3Tvalue"}}}),
        json!({"content": [{"type": "text", "text": "{\"passwords\": [\"S3CR3Tvalue\"]}"}]}),
        json!({"text": "[{\"credentials\": {\"a\": \"S3CR3Tvalue\"}}]"}),
        json!({"credentials": {"title": "S3CR3Tvalue", "format": ["S3CR3Tvalue"], "in": 5_317_224_911_u64}}),
        json!({"outputs": {"db_password": {"type": "string", "value": "S3CR3Tvalue"}}}),
        json!({"auth": {"user": "bob", "pass": "S3CR3Tvalue"}}),
        json!({"Parameters": [{"ParameterKey": "DbPassword", "ParameterValue": "S3CR3Tvalue"}]}),
        json!({"apiVersion": "v1", "data": {"mysql-root": "S3CR3Tvalue"}, "kind": "Secret"}),
        json!({"cookies": [{"name": "sid", "value": "S3CR3Tvalue123456", "domain": "x.example"}]}),
        json!({"element": "Password textbox", "ref": "e12", "text": "S3CR3Tvalue"}),
        json!({"selector": "input[name='password']", "value": "S3CR3Tvalue"}),
        json!({"fields": [{"name": "Password", "type": "textbox", "value": "S3CR3Tvalue"}]}),
        json!({"env": ["TZ=UTC", "DB_PASSWORD=S3CR3Tvalue"]}),
        // Several members label another one, before it or after it.
        json!({"element": "Password textbox", "target": "e12", "text": "S3CR3Tvalue"}),
        json!({"label": "Password", "selector": "#f3", "value": "S3CR3Tvalue"}),
        json!({"key": "DB_PASSWORD", "name": "db", "value": "S3CR3Tvalue"}),
        json!({"name": "DB_PASSWORD", "option": "required", "value": "S3CR3Tvalue"}),
        json!({"keys": "S3CR3Tvalue", "selector": "#password"}),
        json!({"val": "S3CR3Tvalue", "value": "S3CR3Tvalue", "variable": "DB_PASSWORD"}),
        json!({"value": {"stringValue": "S3CR3Tvalue"}, "name": "password"}),
        json!({"value": ["S3CR3Tvalue", 5_317_224_911_u64], "zname": "x", "name": "password"}),
        json!({"value": 5_317_224_911_u64, "varname": "x", "variable": "otp_password"}),
        json!({"value": "see password=S3CR3Tvalue, S3CR3T", "variableName": "DB_PASSWORD"}),
        json!({"properties": {"password": {"type": "string", "value": "S3CR3Tvalue", "title": "Password"}}}),
        json!({"properties": {"password": {"type": "string", "default": "S3CR3Tvalue"}}}),
        json!({"properties": {"password": {"type": "string", "const": "S3CR3Tvalue", "examples": ["S3CR3Tvalue"]}}}),
        json!({"kind": "Secret", "data": {"mysql-root": "S3CR3Tvalue"}, "z": {"$ref": "x"}, "$ref": "x", "enum": []}),
    ] {
        let stored = stored(&input).await.to_string();
        assert!(
            !stored.contains("S3CR3T") && !stored.contains("5317224911"),
            "{input} is stored as {stored}"
        );
        assert!(stored.contains("[redacted:"), "{stored}");
    }
}

#[tokio::test]
async fn fields_with_similar_names_are_kept() {
    for input in [
        json!({"tokens": 512, "max_tokens": 4096, "token_count": 12, "usage": {"input_tokens": 5}}),
        json!({"next_page_token": "abc123def456", "pageToken": "abc123def456"}),
        json!({"password": null, "secret": false, "token": 5, "api_key": ""}),
        json!({"properties": {"password": {"type": "string", "minLength": 8}, "token": {"type": "string"}}}),
        json!({"properties": {"password": {"anyOf": [{"type": "string"}, {"type": "null"}], "title": "Password"}}}),
        json!({"properties": {"credentials": {"type": "object", "required": ["user"], "title": "The user"}}}),
        json!({"password": {"minLength": 8, "description": "of the user", "type": ["string", "null"]}}),
        json!({"apiKey": {"type": "string", "description": "the key"}}),
        json!({"element": "Password textbox", "text": "Enter your password"}),
        json!({"label": "Max tokens", "value": "128000"}),
        json!({"apiVersion": "v1", "data": {"mode": "x1y2z3"}, "kind": "ConfigMap"}),
        json!({"pass": true, "cookies": [{"name": "theme", "value": "dark"}]}),
        json!({"password_file": "/run/secrets/db1", "secretName": "db-1", "key": "ArrowUp1", "sort_key": "abc123def456"}),
        json!({"tokens": ["the", "cat", "sat"]}),
        json!({"token": {"kind": "Identifier", "text": "fooBar1"}}),
        json!({"command": ["ls", "--color", "auto"]}),
        json!({"command": ["x", "--api-key", "${KEY}", "abc123def456"]}),
        json!([{"name": "HOME", "value": "/srv/bob2"}]),
        json!({"api_key": "${API_KEY}", "token": "<your-token>"}),
        json!({"public_key": "abc123def456", "primaryKey": "id_1234567"}),
    ] {
        assert_eq!(stored(&input).await, input);
    }
}

#[tokio::test]
async fn a_json_string_in_metadata_is_read_as_json() {
    let db = Persistence::builder().layer(RedactLayer::secrets()).backend(Echo).build().unwrap();
    let mut metadata = throughline_core::Metadata::new();
    metadata.set("result", &"{\"passwords\": [\"S3CR3Tvalue\"]}").unwrap();
    let message = NewMessage::user("x").with_metadata(metadata);
    let stored = db.thread("t").add(message).await.unwrap().message.metadata;
    let stored = stored.get_as::<String>("result").unwrap();
    assert!(stored.starts_with("{\"passwords\": [\"[redacted:field#"), "{stored}");
}

#[tokio::test]
async fn json_in_a_string_that_nests_too_deep_is_read_as_a_text() {
    let (open, close) = ("[".repeat(1025), "]".repeat(1025));
    let input = json!({"arguments": format!("{open}{{\"memo\":\"password=S3CR3Tvalue\"}}{close}")});
    let stored = stored(&input).await["arguments"].as_str().unwrap().to_owned();
    let inner = stored.strip_prefix(&*open).and_then(|rest| rest.strip_suffix(&*close)).unwrap();
    assert!(inner.starts_with("{\"memo\":\"password=[redacted:assignment#"), "{inner}");
    assert!(inner.ends_with("]\"}"), "{inner}");
}
