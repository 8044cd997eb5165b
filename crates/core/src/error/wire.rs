//! The serialized form of an error, for a log and for a caller in another process.

use std::{borrow::Cow, error::Error as StdError, fmt, iter, sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Effect, ErrorKind, PersistError, Repr, Site};
use crate::{IdempotencyKey, MessageId, OpKind, Revision, ThreadId};

/// The fields of a serialized error. A field without a value is absent.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    code: ErrorKind,
    effect: Effect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<Cow<'a, Site>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<OpKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thread: Option<Cow<'a, ThreadId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Cow<'a, MessageId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<Cow<'a, IdempotencyKey>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_index: Option<usize>,
    attempts: u32,
    /// Rounded up, so that a caller does not repeat the call too early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    detail: Cow<'a, str>,
    /// The texts of the errors that caused this one, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    causes: Vec<String>,
}

impl Serialize for PersistError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let repr = &*self.0;
        let whole_ms = |after: Duration| after.as_nanos().div_ceil(1_000_000);
        let causes = iter::successors(self.source(), |&cause| cause.source());
        Wire {
            code: repr.kind,
            effect: self.effect(),
            site: repr.site.as_ref().map(Cow::Borrowed),
            operation: repr.operation,
            thread: repr.thread.as_ref().map(Cow::Borrowed),
            message: repr.message.as_ref().map(Cow::Borrowed),
            idempotency_key: repr.key.as_ref().map(Cow::Borrowed),
            batch_index: repr.batch_index,
            attempts: repr.attempts,
            retry_after_ms: repr.retry_after.map(|after| u64::try_from(whole_ms(after)).unwrap_or(u64::MAX)),
            revision: repr.revision,
            detail: Cow::Borrowed(&repr.detail),
            causes: causes.map(ToString::to_string).collect(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PersistError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let mut source = None;
        for text in wire.causes.into_iter().rev() {
            source = Some(Arc::new(Cause { text, source }));
        }
        Ok(Self(Box::new(Repr {
            kind: wire.code,
            call: None,
            unready: None,
            effect: Some(wire.effect),
            site: wire.site.map(Cow::into_owned),
            operation: wire.operation,
            thread: wire.thread.map(Cow::into_owned),
            message: wire.message.map(Cow::into_owned),
            key: wire.idempotency_key.map(Cow::into_owned),
            batch_index: wire.batch_index,
            attempts: wire.attempts,
            retry_after: wire.retry_after_ms.map(Duration::from_millis),
            revision: wire.revision,
            detail: Cow::Owned(wire.detail.into_owned()),
            source: source.map(|cause| cause as Arc<dyn StdError + Send + Sync>),
        })))
    }
}

/// The text of an error in another process.
#[derive(Debug)]
struct Cause {
    text: String,
    source: Option<Arc<Self>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Cause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::BoxError;

    fn full() -> PersistError {
        let inner = PersistError::new(ErrorKind::Internal, "the disk does not answer")
            .with_source(BoxError::from("input/output error"));
        let mut error = PersistError::new(ErrorKind::Overloaded, "too many calls wait")
            .with_effect(Effect::Unknown)
            .about(&"t".parse().unwrap(), &"m".parse().unwrap())
            .with_batch_index(2)
            .with_attempts(3)
            .with_retry_after(Duration::from_micros(1_200_001))
            .with_source(inner);
        let repr = &mut *error.0;
        repr.site = Some(Site::Layer("quota".into()));
        repr.operation = Some(OpKind::Batch);
        repr.key = Some("webhook-17".parse().unwrap());
        error
    }

    #[test]
    fn every_fact_is_a_field() {
        assert_eq!(
            serde_json::to_value(full()).unwrap(),
            json!({
                "code": "overloaded",
                "effect": "unknown",
                "site": { "layer": "quota" },
                "operation": "batch",
                "thread": "t",
                "message": "m",
                "idempotencyKey": "webhook-17",
                "batchIndex": 2,
                "attempts": 3,
                "retryAfterMs": 1201,
                "detail": "too many calls wait",
                "causes": ["the disk does not answer (internal)", "input/output error"],
            })
        );
        assert_eq!(
            serde_json::to_value(PersistError::new(ErrorKind::Busy, "locked").at_the_edge(OpKind::Add))
                .unwrap(),
            json!({
                "code": "busy", "effect": "unknown", "site": "edge", "operation": "add", "attempts": 1, "detail": "locked"
            })
        );
    }

    #[test]
    fn an_error_is_read_with_every_fact() {
        let (sent, json) = (full(), serde_json::to_value(full()).unwrap());
        let read: PersistError = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        assert_eq!(read.to_string(), sent.to_string());
        assert_eq!(read.is_transient(), sent.is_transient());
        assert_eq!(read.source().unwrap().source().unwrap().to_string(), "input/output error");
        // A field of a later version is ignored; a code of a later version has no meaning here.
        let mut later = json;
        later["new"] = Value::Null;
        assert_eq!(serde_json::from_value::<PersistError>(later.clone()).unwrap().code(), "overloaded");
        later["code"] = "melted".into();
        let refused = serde_json::from_value::<PersistError>(later).unwrap_err().to_string();
        assert!(refused.starts_with("unknown variant `melted`"), "{refused}");
    }
}
