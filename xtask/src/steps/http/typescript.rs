//! The client for TypeScript: its types are those of the OpenAPI document, and its tests pass against a server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::npm::Packages;
use super::server::{Server, TOKEN};
use crate::Result;
use crate::skips::Skips;
use crate::steps::installation::Installation;
use crate::workspace::Workspace;

/// The folder of the client, from the root.
const CLIENT: &str = "clients/typescript/";

/// The types that are generated from the document.
const TYPES: &str = "src/schema.ts";

/// The tests take some seconds, and so does the generation of the types.
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    let packages = match Packages::with(workspace, "typescript", CLIENT)? {
        Installation::Complete(packages) => packages,
        Installation::Impossible(why) => {
            skips.add("the TypeScript client", why);
            return Ok(());
        }
    };
    let server = Server::start(workspace, server, "typescript")?;
    check_types(workspace, &packages, &server)?;
    packages
        .npm(workspace)
        .args(["test"])
        .setting("THROUGHLINE_URL", &server.url())
        .setting("THROUGHLINE_TOKEN", TOKEN)
        .limit(LIMIT)
        .run()
}

/// Generates the types from the document of the server, and compares them with those of the client.
fn check_types(workspace: &Workspace, packages: &Packages, server: &Server) -> Result {
    let dist = packages.folder().join("dist");
    let generated = dist.join("generated.ts");
    fs::create_dir_all(dist)?;
    let document = format!("{}/openapi.json", server.url());
    let output = generated.display().to_string();
    packages
        .npm(workspace)
        .args(["run", "--silent", "generate", "--", &document, "--output", &output])
        .limit(LIMIT)
        .run()?;
    let committed = workspace.root().join(CLIENT).join(TYPES);
    if fs::read_to_string(&generated)? == fs::read_to_string(&committed)? {
        return Ok(());
    }
    let copy = generated.display();
    Err(format!("{CLIENT}{TYPES} is not that of the OpenAPI document: copy {copy} to it").into())
}
