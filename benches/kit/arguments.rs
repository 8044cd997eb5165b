use std::str::FromStr;

use lexopt::prelude::*;

use crate::Failure;

/// What stands after `--name`, if it is given. What else is given is for somebody else to read: cargo itself passes
/// `--bench`.
pub(crate) fn given<T: FromStr<Err: Into<Failure>>>(name: &str) -> Result<Option<T>, Failure> {
    let mut parser = lexopt::Parser::from_env();
    let mut found = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long(argument) if argument == name => found = Some(parser.value()?.parse()?),
            Long(_) | Short(_) | Value(_) => {}
        }
    }
    Ok(found)
}
