//! A check of answers against the OpenAPI document: a small part of JSON Schema, which fails on what it does not know.

use hyper::Method;
use serde_json::Value;

use super::Answer;

/// The OpenAPI document of a server.
pub(crate) struct Document(Value);

impl Document {
    pub(crate) const fn new(json: Value) -> Self {
        Self(json)
    }

    /// Returns the documented operation of a request.
    fn operation(&self, method: &Method, target: &str) -> Option<&Value> {
        let path = target.split('?').next().unwrap();
        let paths = self.0["paths"].as_object().unwrap();
        let (_, item) = paths.iter().find(|(template, _)| is_match(template, path))?;
        let method = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
        item.get(method)
    }

    #[track_caller]
    pub(crate) fn check(&self, method: &Method, target: &str, answer: &Answer) {
        let request = format!("{method} {target}");
        let Some(operation) = self.operation(method, target) else {
            assert!(matches!(answer.status, 404 | 405), "{request} is not documented: {}", answer.status);
            if *method == Method::HEAD {
                return assert!(answer.body.is_empty(), "{request}: an answer to HEAD has a body");
            }
            return self.check_content(&Value::from("#/components/schemas/Problem"), answer, &request);
        };
        let response = &operation["responses"][answer.status.to_string()];
        assert!(response.is_object(), "{request}: the status {} is not documented", answer.status);
        let Some(content) = response.get("content").and_then(Value::as_object) else {
            assert!(answer.body.is_empty(), "{request}: a documented answer without a body has one");
            return;
        };
        let kind = answer.header("content-type").unwrap_or_else(|| panic!("{request}: no media type"));
        let essence = kind.split(';').next().unwrap();
        let media = content.get(essence).unwrap_or_else(|| panic!("{request}: {essence} is not documented"));
        if essence.ends_with("json") && *method != Method::HEAD {
            let problems = self.faults(&media["schema"], &answer.json(), "$");
            assert!(problems.is_empty(), "{request}: {problems:?}\n{}", answer.text());
        }
    }

    fn check_content(&self, reference: &Value, answer: &Answer, request: &str) {
        let schema = serde_json::json!({ "$ref": reference });
        let faults = self.faults(&schema, &answer.json(), "$");
        assert!(faults.is_empty(), "{request}: {faults:?}\n{}", answer.text());
    }

    /// Returns how the value differs from the schema.
    fn faults(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = reference.strip_prefix('#').unwrap();
            let target = self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} does not exist"));
            return self.faults(target, value, at);
        }
        if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
            let fits = options.iter().any(|option| self.faults(option, value, at).is_empty());
            return if fits { Vec::new() } else { vec![format!("{at} fits none of {options:?}")] };
        }
        let types = match &schema["type"] {
            Value::Null => return Vec::new(),
            Value::String(name) => vec![name.as_str()],
            Value::Array(names) => names.iter().map(|name| name.as_str().unwrap()).collect(),
            other => panic!("{at}: an unknown type {other}"),
        };
        if !types.iter().any(|name| is_of_type(value, name)) {
            return vec![format!("{at} is not {types:?}: {value}")];
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array)
            && !values.contains(value)
        {
            return vec![format!("{at} is none of {values:?}: {value}")];
        }
        match value {
            Value::Object(_) => self.faults_of_object(schema, value, at),
            Value::Array(items) => {
                let item = &schema["items"];
                let each = items.iter().enumerate();
                each.flat_map(|(index, value)| self.faults(item, value, &format!("{at}[{index}]"))).collect()
            }
            _ => Vec::new(),
        }
    }

    fn faults_of_object(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                faults.push(format!("{at} has no {name}"));
            }
        }
        let more = schema.get("additionalProperties");
        for (name, value) in value.as_object().unwrap() {
            let at = format!("{at}.{name}");
            match (schema.get("properties").and_then(|known| known.get(name)), more) {
                (Some(schema), _) => faults.extend(self.faults(schema, value, &at)),
                (None, Some(schema)) => faults.extend(self.faults(schema, value, &at)),
                (None, None) if schema.get("properties").is_none() => {}
                (None, None) => faults.push(format!("{at} is not documented")),
            }
        }
        faults
    }
}

fn is_match(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(part, text)| part == text || part.starts_with('{') && !text.is_empty())
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("an unknown type {other}"),
    }
}
