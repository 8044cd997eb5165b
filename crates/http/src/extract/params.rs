//! The query of a request. A parameter that the route does not have is refused, and so is one that comes twice.

use std::{fmt, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::value::RawValue;
use throughline_core::{Labels, Metadata, messages::ReadPage};

use crate::{problem::Problem, state::RouterState};

use super::Counter;

/// The parameters of a query that no code has taken yet.
pub(crate) struct Params(Vec<(String, String)>);

impl FromRequestParts<RouterState> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &RouterState) -> Result<Self, Problem> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// The number of items of a page whose request states none.
const DEFAULT_LIMIT: u32 = 50;

impl Params {
    pub(crate) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Takes a parameter as text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        let Some(at) = self.0.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        if self.0.iter().any(|(known, _)| known == name) {
            return Err(Problem::invalid(format!("the query has several parameters `{name}`")));
        }
        Ok(Some(value))
    }

    /// Takes a parameter of another type.
    pub(crate) fn take<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Problem>
    where
        T::Err: fmt::Display,
    {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let parsed =
            text.parse().map_err(|error| Problem::invalid(format!("the query parameter `{name}`: {error}")));
        parsed.map(Some)
    }

    /// Takes a sequence number or position.
    pub(crate) fn counter(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        Ok(self.take::<Counter>(name)?.map(Counter::get))
    }

    /// Takes a parameter with one of these values.
    pub(crate) fn one_of<T: Copy>(&mut self, name: &str, values: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match values.iter().find(|(value, _)| *value == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let known: Vec<_> = values.iter().map(|(value, _)| *value).collect();
                let known = known.join("`, `");
                Err(Problem::invalid(format!("the query parameter `{name}` is none of `{known}`")))
            }
        }
    }

    /// Drops every parameter with this name.
    pub(crate) fn discard(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Takes `limit`, 1 to `max`.
    pub(crate) fn limit(&mut self, max: u32) -> Result<u32, Problem> {
        self.limit_or(DEFAULT_LIMIT, max)
    }

    /// Takes `limit`, 1 to `max`. A query without it gets this default, at most `max`.
    pub(crate) fn limit_or(&mut self, default: u32, max: u32) -> Result<u32, Problem> {
        match self.counter("limit")? {
            None => Ok(default.min(max)),
            Some(limit) => match u32::try_from(limit) {
                Ok(limit) if (1..=max).contains(&limit) => Ok(limit),
                _ => Err(Problem::invalid(format!("the query parameter `limit` is not between 1 and {max}"))),
            },
        }
    }

    /// Takes the parameters `labels[name]=value`.
    pub(crate) fn labels(&mut self) -> Result<Labels, Problem> {
        self.members("labels")?.iter().try_fold(Labels::new(), |labels, (name, value)| {
            labels
                .with(name, value)
                .map_err(|error| Problem::invalid(format!("the query parameter `labels[{name}]`: {error}")))
        })
    }

    /// Takes the parameters `metadata[name]=JSON`.
    pub(crate) fn metadata(&mut self) -> Result<Metadata, Problem> {
        let mut metadata = Metadata::new();
        for (name, json) in self.members("metadata")? {
            if name.is_empty() {
                return Err(Problem::invalid("the query parameter `metadata[]` has no name of a field"));
            }
            let value = RawValue::from_string(json).map_err(|_| {
                let detail = "is not JSON: a string has quotes, as in \"A-17\"";
                Problem::invalid(format!("the query parameter `metadata[{name}]` {detail}"))
            })?;
            metadata.set_raw(name, value);
        }
        Ok(metadata)
    }

    /// Takes the parameters `map[name]=value`: each name with its value.
    fn members(&mut self, map: &str) -> Result<Vec<(String, String)>, Problem> {
        let mut members: Vec<(String, String)> = Vec::new();
        let mut others = Vec::new();
        for (parameter, value) in std::mem::take(&mut self.0) {
            let name = parameter.strip_prefix(map).and_then(|name| name.strip_prefix('[')?.strip_suffix(']'));
            match name {
                None => others.push((parameter, value)),
                Some(name) if members.iter().any(|(known, _)| known == name) => {
                    return Err(Problem::invalid(format!("the query has several parameters `{parameter}`")));
                }
                Some(name) => members.push((name.to_owned(), value)),
            }
        }
        self.0 = others;
        Ok(members)
    }

    /// Takes `maxBytes`, 1 to [`ReadPage::MAX_BYTES`].
    pub(crate) fn max_bytes(&mut self) -> Result<Option<u32>, Problem> {
        let max = ReadPage::MAX_BYTES;
        let bytes = self.counter("maxBytes")?.map(|bytes| {
            let bytes = u32::try_from(bytes).ok().filter(|bytes| (1..=max).contains(bytes));
            bytes.ok_or_else(|| {
                Problem::invalid(format!("the query parameter `maxBytes` is not between 1 and {max}"))
            })
        });
        bytes.transpose()
    }

    /// Refuses the parameters that no code has taken.
    pub(crate) fn end(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::invalid(format!("the route has no query parameter `{name}`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(problem: &Problem) -> String {
        serde_json::to_value(problem).unwrap()["detail"].as_str().unwrap().to_owned()
    }

    #[test]
    fn each_parameter_is_taken_once() {
        let mut params = Params::parse("after=7&labels%5Bproject%5D=a%26b&limit=10&x=1");
        assert_eq!(params.counter("after").unwrap(), Some(7));
        assert_eq!(params.counter("after").unwrap(), None);
        assert_eq!(params.limit(20).unwrap(), 10);
        assert_eq!(params.labels().unwrap(), Labels::new().with("project", "a&b").unwrap());
        assert_eq!(detail(&params.end().unwrap_err()), "the route has no query parameter `x`");
    }

    #[test]
    fn a_repeated_or_invalid_parameter_is_refused() {
        let twice = Params::parse("after=7&after=8").counter("after").unwrap_err();
        assert_eq!(detail(&twice), "the query has several parameters `after`");
        let text = Params::parse("after=x").counter("after").unwrap_err();
        assert_eq!(
            detail(&text),
            "the query parameter `after`: is not a whole number from 0 to 9223372036854775807"
        );
        for query in ["limit=0", "limit=21", "limit=4294967297"] {
            assert!(Params::parse(query).limit(20).is_err(), "{query}");
        }
        assert!(Params::parse("labels[a]=1&labels[a]=2").labels().is_err());
        assert!(Params::parse("labels[]=1").labels().is_err());
        let order = Params::parse("order=up").one_of("order", &[("asc", 1), ("desc", 2)]).unwrap_err();
        assert_eq!(detail(&order), "the query parameter `order` is none of `asc`, `desc`");
    }

    #[test]
    fn metadata_is_json_under_each_name() {
        let mut params = Params::parse("metadata[a]=%22x%22&limit=1&metadata[b]]=17&metadata=z");
        let metadata: Metadata = serde_json::from_str(r#"{"a":"x","b]":17}"#).unwrap();
        assert_eq!(params.metadata().unwrap(), metadata);
        assert_eq!(params.metadata().unwrap(), Metadata::new(), "each is taken once");
        assert_eq!(params.limit(20).unwrap(), 1);
        assert_eq!(detail(&params.end().unwrap_err()), "the route has no query parameter `metadata`");
        let twice = Params::parse("metadata[a]=1&metadata[a]=1").metadata().unwrap_err();
        assert_eq!(detail(&twice), "the query has several parameters `metadata[a]`");
        let nameless = Params::parse("metadata[]=true").metadata().unwrap_err();
        assert_eq!(detail(&nameless), "the query parameter `metadata[]` has no name of a field");
        let text = Params::parse("metadata[orderId]=A-17").metadata().unwrap_err();
        assert_eq!(
            detail(&text),
            "the query parameter `metadata[orderId]` is not JSON: a string has quotes, as in \"A-17\""
        );
    }

    #[test]
    fn bytes_of_a_page_have_a_range() {
        assert_eq!(Params::parse("maxBytes=67108864").max_bytes().unwrap(), Some(ReadPage::MAX_BYTES));
        assert_eq!(Params::parse("").max_bytes().unwrap(), None);
        for query in ["maxBytes=0", "maxBytes=67108865", "maxBytes=4294967297"] {
            assert_eq!(
                detail(&Params::parse(query).max_bytes().unwrap_err()),
                "the query parameter `maxBytes` is not between 1 and 67108864"
            );
        }
    }
}
