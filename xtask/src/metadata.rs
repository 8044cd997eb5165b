//! The output of `cargo metadata` about the workspace.

use std::path::PathBuf;

use serde_json::Value;

use crate::Result;

/// The parts of `cargo metadata --no-deps` that the steps use.
#[derive(Debug)]
pub(crate) struct Metadata {
    /// The folder of the workspace's manifest.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// The members, by name.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its manifest.
    pub(crate) manifest: PathBuf,
    /// Whether it is for a registry.
    pub(crate) is_published: bool,
    /// The names of its features, sorted; `default` is one if the manifest has it.
    pub(crate) features: Vec<String>,
    /// The products of its build.
    pub(crate) targets: Vec<Target>,
}

/// Something that a package builds.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// `lib`, `bin`, `example`, `test`, `bench`, `custom-build`, …
    pub(crate) kinds: Vec<String>,
}

impl Metadata {
    /// Reads the output of `cargo metadata --no-deps --format-version 1`.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json)?;
        let mut packages =
            list(&value, "packages")?.iter().map(Package::parse).collect::<Result<Vec<_>>>()?;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            root: text(&value, "workspace_root")?.into(),
            target: text(&value, "target_directory")?.into(),
            packages,
        })
    }

    /// The package in the workspace's own folder: the facade, which has the examples.
    pub(crate) fn root_package(&self) -> Result<&Package> {
        let manifest = self.root.join("Cargo.toml");
        let found = self.packages.iter().find(|package| package.manifest == manifest);
        found.ok_or_else(|| "the workspace has no root package".into())
    }
}

impl Package {
    fn parse(value: &Value) -> Result<Self> {
        let features = value.get("features").and_then(Value::as_object).ok_or_else(|| missing("features"))?;
        let mut features: Vec<_> = features.keys().cloned().collect();
        features.sort();
        Ok(Self {
            name: text(value, "name")?.to_owned(),
            version: text(value, "version")?.to_owned(),
            manifest: text(value, "manifest_path")?.into(),
            // The registries that it may go to: any, if there is no list.
            is_published: value.get("publish").is_none_or(Value::is_null),
            features,
            targets: list(value, "targets")?.iter().map(Target::parse).collect::<Result<_>>()?,
        })
    }

    /// The names of its targets of a kind, sorted.
    pub(crate) fn targets_of(&self, kind: &str) -> Vec<&str> {
        let of_kind = self.targets.iter().filter(|target| target.kinds.iter().any(|k| k == kind));
        let mut names: Vec<_> = of_kind.map(|target| target.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

impl Target {
    fn parse(value: &Value) -> Result<Self> {
        let kinds = list(value, "kind")?.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(Self { name: text(value, "name")?.to_owned(), kinds })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| missing(key))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value.get(key).and_then(Value::as_array).ok_or_else(|| missing(key))
}

fn missing(key: &str) -> Box<dyn std::error::Error> {
    format!("cargo metadata has no `{key}`").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = r#"{
        "packages": [
            {"name": "stream", "version": "1.2.3", "publish": null, "manifest_path": "/w/Cargo.toml", "features": {"wide": [], "default": ["wide"]},
             "targets": [{"name": "stream", "kind": ["lib"]}, {"name": "b", "kind": ["example"]},
                         {"name": "a", "kind": ["example"]}, {"name": "laws", "kind": ["test"]}]},
            {"name": "brook", "version": "0.1.0", "publish": [], "manifest_path": "/w/brook/Cargo.toml", "features": {}, "targets": []}
        ],
        "workspace_root": "/w", "target_directory": "/t", "version": 1
    }"#;

    #[test]
    fn packages_features_and_targets_are_read_in_order() {
        let metadata = Metadata::parse(SAMPLE).expect("good metadata");
        let names: Vec<_> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["brook", "stream"]);
        let root = metadata.root_package().expect("a root package");
        assert_eq!(root.name, "stream");
        assert_eq!(root.features, ["default", "wide"]);
        assert_eq!(root.targets_of("example"), ["a", "b"]);
        assert_eq!(root.targets_of("bench"), [""; 0]);
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = Metadata::parse(r#"{"packages": []}"#).expect_err("no root");
        assert!(error.to_string().contains("workspace_root"), "{error}");
    }

    #[test]
    fn a_virtual_workspace_has_no_root_package() {
        let json = r#"{"packages": [], "workspace_root": "/w", "target_directory": "/t"}"#;
        assert!(Metadata::parse(json).expect("good metadata").root_package().is_err());
    }
}
