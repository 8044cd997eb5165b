//! `new`: a crate to begin with.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::threads::quoted;
use crate::{
    Exit, Failure, Outcome, Session,
    output::{GOOD, line},
};

/// The files of a layer: those of the example `template_layer`.
const LAYER: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/layer/Cargo.toml.template")),
    ("main.rs", include_str!("../../templates/layer/main.rs")),
    ("layer.rs", include_str!("../../templates/layer/layer.rs")),
    ("tests.rs", include_str!("../../templates/layer/tests.rs")),
];

/// The files of a backend: those of the example `custom_backend`.
const BACKEND: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/backend/Cargo.toml.template")),
    ("main.rs", include_str!("../../templates/backend/main.rs")),
];

/// Makes a crate with a layer or a backend, and its tests
///
/// The tests run the laws for layers, or the conformance kit for backends.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The kind of crate
    #[arg(value_enum)]
    kind: Kind,
    /// The name of the crate, and of its new folder
    #[arg(value_parser = crate_name)]
    name: String,
    /// The folder of a clone of Throughline, on which the crate depends
    #[arg(long, value_name = "FOLDER", default_value = "../throughline")]
    throughline: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A layer, and the laws for layers
    Layer,
    /// A backend over redb, and its conformance report
    Backend,
}

/// Reads the name of a crate, which is a name of Rust too.
fn crate_name(name: &str) -> Result<String, String> {
    let is_part =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_' || char == '-';
    let begins_well = name.starts_with(|char: char| char.is_ascii_lowercase());
    if begins_well && name.len() <= 64 && name.chars().all(is_part) {
        Ok(name.to_owned())
    } else {
        Err("a name has lower-case letters, digits, `_` and `-`, and begins with a letter".to_owned())
    }
}

impl New {
    pub(super) fn run(&self, session: &mut Session) -> Outcome {
        let (files, commands) = match self.kind {
            Kind::Layer => (LAYER, &["cargo test"][..]),
            Kind::Backend => (
                BACKEND,
                &[
                    "cargo run --release -- --report report.json",
                    "throughline conformance report report.json",
                ][..],
            ),
        };
        let folder = Path::new(&self.name);
        // A new folder, so that no file of the caller is replaced.
        fs::create_dir(folder)
            .map_err(|error| Failure::io(format_args!("`{}` was not made", self.name), &error))?;
        for (name, template) in files {
            let path = folder.join(name);
            fs::write(&path, self.filled(name, template)).map_err(|error| {
                Failure::io(format_args!("`{}` could not be written", path.display()), &error)
            })?;
        }
        let output = &mut session.output;
        if output.is_json() {
            let files: Vec<_> = files.iter().map(|(name, _)| name).collect();
            output.json("new", &json!({ "folder": folder, "files": files, "next": commands }))?;
        } else {
            output.sentence(format_args!("{GOOD}made{GOOD:#} {}", line(&self.name)))?;
            output.line("Next:")?;
            output.line(format_args!("  cd {}", quoted(&self.name)))?;
            for command in commands {
                output.line(format_args!("  {command}"))?;
            }
        }
        Ok(Exit::Done)
    }

    /// Fills in the names. Only the manifest has any.
    fn filled(&self, file: &str, template: &str) -> String {
        if file != "Cargo.toml" {
            return template.to_owned();
        }
        // From the new folder, a relative path has one more step.
        let throughline = match self.throughline.is_relative() {
            true => Path::new("..").join(&self.throughline),
            false => self.throughline.clone(),
        };
        let escaped = throughline.to_string_lossy().replace('\\', r"\\").replace('"', r#"\""#);
        template.replace("{name}", &self.name).replace("{throughline}", &escaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_the_examples_that_ci_builds_and_tests() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        // A package of the crate alone has no examples.
        if !examples.exists() {
            return;
        }
        for (folder, files) in [("template_layer", LAYER), ("custom_backend", BACKEND)] {
            for (name, template) in files.iter().filter(|(name, _)| *name != "Cargo.toml") {
                let example =
                    fs::read_to_string(examples.join(folder).join(name)).expect("the example has the file");
                assert_eq!(
                    *template, example,
                    "copy examples/{folder}/{name} to the templates of crates/cli"
                );
            }
        }
    }

    #[test]
    fn a_manifest_names_the_clone_from_its_own_folder() {
        let made = |throughline: &str| {
            let new = New { kind: Kind::Layer, name: "my-layer".into(), throughline: throughline.into() };
            new.filled("Cargo.toml", LAYER[0].1)
        };
        let manifest = made("../throughline");
        assert!(manifest.contains("name = \"my-layer\""), "{manifest}");
        assert!(manifest.contains("path = \"../../throughline/crates/conformance\""), "{manifest}");
        assert!(made("/opt/throughline").contains("path = \"/opt/throughline\""));
        assert!(!made("x").contains('{') || !made("x").contains("{name}"));
    }

    #[test]
    fn a_name_that_is_no_crate_is_refused() {
        assert!(crate_name("my-layer_2").is_ok());
        for bad in ["", "../up", "My", "2nd", "a b", "é", "-x"] {
            assert!(crate_name(bad).is_err(), "{bad}");
        }
    }
}
