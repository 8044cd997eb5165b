use std::collections::HashMap;

use serde_json::value::RawValue;

use super::{Edits, TooDeep};
use throughline_core::Metadata;

/// Rewrites the names and values of metadata; `None` without replacements. `value` receives the name and the raw JSON
/// of each value. It costs one pass.
///
/// Names that begin with [`Metadata::RESERVED`] stay. A rewritten name that already exists gets a number as suffix. In
/// a patch, `null` removes both the given name and its rewritten form, because the stored name may be older than the
/// transform.
///
/// # Errors
/// The errors of `value`.
pub(super) fn rewrite_metadata<R>(
    metadata: &Metadata,
    is_patch: bool,
    rewriter: &mut R,
    name: impl Fn(&mut R, &str) -> Edits,
    value: impl Fn(&mut R, &str, &str) -> Result<Option<String>, TooDeep>,
) -> Result<Option<Metadata>, TooDeep> {
    // None until the first change.
    let mut rewritten: Option<Metadata> = None;
    let mut numbers = Numbers::default();
    for (at, (old_name, old_value)) in metadata.iter().enumerate() {
        let json = old_value.get();
        if old_name.starts_with(Metadata::RESERVED) {
            // A reserved name of the framework.
            if let Some(rewritten) = &mut rewritten {
                rewritten.set_raw(old_name, old_value.to_owned());
            }
        } else if is_patch && json == "null" {
            let stored = name(rewriter, old_name).apply(old_name);
            let stored = stored.filter(|stored| is_free(stored, rewritten.as_ref(), metadata));
            if stored.is_some() && rewritten.is_none() {
                rewritten = Some(first(metadata, at));
            }
            if let Some(rewritten) = &mut rewritten {
                rewritten.set_raw(old_name, old_value.to_owned());
                stored.into_iter().for_each(|stored| rewritten.set_raw(stored, old_value.to_owned()));
            }
        } else {
            let new_value = value(rewriter, old_name, json)?;
            let new_name = name(rewriter, old_name).apply(old_name);
            let new_name = new_name.map(|new| numbers.free(rewritten.as_ref(), metadata, new));
            if rewritten.is_none() && (new_value.is_some() || new_name.is_some()) {
                rewritten = Some(first(metadata, at));
            }
            if let Some(rewritten) = &mut rewritten {
                let value = match new_value {
                    Some(json) => RawValue::from_string(json).expect("JSON stays JSON"),
                    None => old_value.to_owned(),
                };
                rewritten.set_raw(new_name.as_deref().unwrap_or(old_name), value);
            }
        }
    }
    Ok(rewritten)
}

/// Returns the first `count` entries.
fn first(metadata: &Metadata, count: usize) -> Metadata {
    let mut first = Metadata::new();
    metadata.iter().take(count).for_each(|(name, value)| first.set_raw(name, value.to_owned()));
    first
}

fn is_free(name: &str, taken: Option<&Metadata>, given: &Metadata) -> bool {
    given.get(name).is_none() && taken.is_none_or(|taken| taken.get(name).is_none())
}

/// The last number of each name, so that many equal names cost a single pass.
#[derive(Default)]
struct Numbers(HashMap<String, u64>);

impl Numbers {
    /// Returns the name, with a number as suffix if the name exists.
    fn free(&mut self, taken: Option<&Metadata>, given: &Metadata, name: String) -> String {
        let is_free = |name: &str| is_free(name, taken, given);
        if is_free(&name) {
            return name;
        }
        let last = self.0.entry(name.clone()).or_insert(1);
        loop {
            *last += 1;
            let numbered = format!("{name}-{last}");
            if is_free(&numbered) {
                return numbered;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{MAX_DEPTH, rewrite_json};

    /// Replaces every string that begins with `x`, and counts the calls.
    fn rewrite(metadata: &Metadata, is_patch: bool) -> (Option<Metadata>, usize) {
        fn string(asked: &mut usize, text: &str) -> Edits {
            *asked += 1;
            let mut edits = Edits::none();
            if text.starts_with('x') {
                edits.replace(0..text.len(), "y");
            }
            edits
        }
        let mut asked = 0;
        let value = |asked: &mut usize, _: &str, json: &str| {
            rewrite_json(json, MAX_DEPTH, |text| string(asked, text))
        };
        let rewritten = rewrite_metadata(metadata, is_patch, &mut asked, string, value).unwrap();
        (rewritten, asked)
    }

    fn of(json: &str) -> Metadata {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn names_and_values_are_rewritten_and_reserved_names_stay() {
        let metadata = of(r#"{"throughline.x":"x","x1":1.10,"x2":"x","y-2":0,"z":["x"]}"#);
        let rewritten = rewrite(&metadata, false).0.unwrap();
        assert_eq!(rewritten, of(r#"{"throughline.x":"x","y":1.10,"y-2":0,"y-3":"y","z":["y"]}"#));
        assert_eq!(rewrite(&of(r#"{"a":1.10}"#), false).0, None);
    }

    #[test]
    fn a_patch_removes_the_given_and_the_rewritten_name() {
        let patch = of(r#"{"x1":null,"a":null}"#);
        let rewritten = rewrite(&patch, true).0.unwrap();
        assert_eq!(rewritten, of(r#"{"x1":null,"a":null,"y":null}"#));
    }

    #[test]
    fn many_names_with_one_rewritten_form_are_numbered_in_one_pass() {
        let mut metadata = Metadata::new();
        for number in 0..20_000 {
            metadata.set(format!("x{number:05}"), &number).unwrap();
        }
        let (rewritten, asked) = rewrite(&metadata, false);
        let rewritten = rewritten.unwrap();
        assert_eq!((rewritten.len(), asked), (20_000, 20_000));
        assert_eq!(rewritten.get("y-20000").unwrap().get(), "19999");
    }
}
