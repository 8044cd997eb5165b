//! Objects of a JSON text that say what they are.

use super::json::string_end;
use crate::transform::MAX_DEPTH;

/// What an object says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ObjectKind {
    /// A JSON Schema: it has a `type` of one, a `$ref`, an `enum`, or alternatives.
    Schema,
    /// A Secret of Kubernetes.
    KubernetesSecret,
}

/// The objects of a text that are of such a kind: where each begins, in order.
pub(super) struct ObjectKinds(Vec<(usize, ObjectKind)>);

/// An array or object that is open.
struct Open<'a> {
    start: usize,
    is_object: bool,
    names_next: bool,
    name: &'a [u8],
    kind: Option<ObjectKind>,
}

/// Whether a JSON Schema knows a type of this name.
pub(super) fn is_type(name: &[u8]) -> bool {
    let types: [&[u8]; 7] = [b"string", b"number", b"integer", b"boolean", b"array", b"object", b"null"];
    types.contains(&name)
}

impl ObjectKinds {
    /// In one pass, which ends where the text nests too deep.
    pub(super) fn of(json: &[u8]) -> Self {
        let (mut kinds, mut levels, mut at) = (Vec::new(), Vec::<Open<'_>>::new(), 0);
        let mut close = |level: Open<'_>| kinds.extend(level.kind.map(|kind| (level.start, kind)));
        while at < json.len() && levels.len() <= MAX_DEPTH {
            let start = at;
            at += 1;
            match json[start] {
                byte @ (b'{' | b'[') => {
                    if let Some(level) = levels.last_mut()
                        && level.is_object
                        && byte == b'['
                        && matches!(level.name, b"anyOf" | b"oneOf" | b"allOf" | b"enum")
                    {
                        level.kind = Some(ObjectKind::Schema);
                    }
                    let is_object = byte == b'{';
                    levels.push(Open { start, is_object, names_next: is_object, name: b"", kind: None });
                }
                b'}' | b']' => levels.pop().into_iter().for_each(&mut close),
                b',' => {
                    if let Some(level) = levels.last_mut() {
                        level.names_next = level.is_object;
                    }
                }
                b'"' => {
                    at = string_end(json, start);
                    Self::string(&mut levels, &json[start + 1..at - 1]);
                }
                _ => {}
            }
        }
        levels.into_iter().for_each(close);
        kinds.sort_unstable_by_key(|(start, _)| *start);
        Self(kinds)
    }

    fn string<'a>(levels: &mut [Open<'a>], raw: &'a [u8]) {
        let Some((level, around)) = levels.split_last_mut() else { return };
        if level.names_next {
            (level.name, level.names_next) = (raw, false);
            return;
        }
        // The types of a schema may be a list.
        let level = if level.is_object { Some(level) } else { around.last_mut() };
        let Some(level) = level else { return };
        match level.name {
            b"type" if is_type(raw) => level.kind = Some(ObjectKind::Schema),
            b"$ref" => level.kind = Some(ObjectKind::Schema),
            b"kind" if raw == b"Secret" => level.kind = Some(ObjectKind::KubernetesSecret),
            _ => {}
        }
    }

    /// What the object says that begins here.
    pub(super) fn at(&self, start: usize) -> Option<ObjectKind> {
        let found = self.0.binary_search_by_key(&start, |(start, _)| *start).ok()?;
        Some(self.0[found].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_known_by_their_members_in_any_order() {
        let json =
            br#"[{"a":{"title":"x","type":["string","null"]}},{"data":{},"kind":"Secret"},{"type":"x"}]"#;
        let kinds = ObjectKinds::of(json);
        let at = |part: &str| std::str::from_utf8(json).unwrap().find(part).unwrap();
        assert_eq!(kinds.at(at(r#"{"title"#)), Some(ObjectKind::Schema));
        assert_eq!(kinds.at(at(r#"{"data"#)), Some(ObjectKind::KubernetesSecret));
        for none in [r#"{"a"#, r#"{}"#, r#"{"type":"x"#] {
            assert_eq!(kinds.at(at(none)), None, "{none}");
        }
        assert!(ObjectKinds::of(&b"[".repeat(100_000)).0.is_empty());
    }
}
