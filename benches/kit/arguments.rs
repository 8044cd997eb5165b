use std::str::FromStr;

use lexopt::prelude::*;

use crate::Failure;

/// Returns the value of the option `--name`, if it is given. Ignores all other arguments, such as the `--bench` that
/// cargo passes.
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
