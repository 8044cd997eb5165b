use lexopt::prelude::*;

use crate::Failure;

/// The number after `--name`, if it is given. What else is given is for somebody else to read: cargo itself passes
/// `--bench`.
pub(crate) fn number(name: &str) -> Result<Option<usize>, Failure> {
    let mut parser = lexopt::Parser::from_env();
    let mut found = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Long(given) if given == name => found = Some(parser.value()?.parse()?),
            Long(_) | Short(_) | Value(_) => {}
        }
    }
    Ok(found)
}
