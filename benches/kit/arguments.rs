use std::str::FromStr;

use lexopt::prelude::*;

use crate::Failure;

/// Checks that the program got no other options than these, each with a value. Cargo also passes `--bench`.
///
/// # Errors
/// Names the first other argument, and the options that there are.
pub(crate) fn expect(names: &[&str]) -> Result<(), Failure> {
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        let other = match argument {
            Long("bench") => continue,
            Long(name) if names.contains(&name) => {
                parser.value()?;
                continue;
            }
            Long(name) => format!("--{name}"),
            Short(letter) => format!("-{letter}"),
            Value(value) => value.display().to_string(),
        };
        return Err(format!("unknown argument `{other}`; the options are --{}", names.join(", --")).into());
    }
    Ok(())
}

/// Returns the value of the option `--name`, if it is given.
///
/// # Errors
/// Returns the reason why the value cannot be parsed.
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

/// Returns the value of the option `--name`, which must be one of these.
///
/// # Errors
/// Names the value, and those that there are.
#[allow(dead_code, reason = "not every benchmark has parts to choose from")]
pub(crate) fn one_of(name: &str, values: &[&str]) -> Result<Option<String>, Failure> {
    let found: Option<String> = given(name)?;
    match found {
        Some(other) if !values.contains(&&*other) => {
            Err(format!("unknown value `{other}` of --{name}; the values are {}", values.join(", ")).into())
        }
        found => Ok(found),
    }
}
