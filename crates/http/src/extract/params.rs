//! The query of a request. A parameter that the route does not have is refused, and so is one that comes twice.

use std::{fmt, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};
use throughline_core::Labels;

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
        let mut labels = Labels::new();
        let mut others = Vec::new();
        for (name, value) in std::mem::take(&mut self.0) {
            let Some(label) = name.strip_prefix("labels[").and_then(|name| name.strip_suffix(']')) else {
                others.push((name, value));
                continue;
            };
            if labels.get(label).is_some() {
                return Err(Problem::invalid(format!("the query has several parameters `{name}`")));
            }
            labels = labels
                .with(label, &value)
                .map_err(|error| Problem::invalid(format!("the query parameter `{name}`: {error}")))?;
        }
        self.0 = others;
        Ok(labels)
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
}
