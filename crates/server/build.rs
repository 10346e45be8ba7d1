//! Lists the files of the dashboard, if it has been built, for `src/dashboard.rs` to embed.
//!
//! Cargo looks at the folder each time: what is built later, or again, is embedded by the next build.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says it"));
    let dist = manifest.join("../../dashboard/dist");
    // Cargo takes a folder that is missing for one that has changed, and would build the crate anew each time. Where it
    // cannot be made there is nothing to wait for either.
    if dist.is_dir() || fs::create_dir_all(&dist).is_ok() {
        println!("cargo::rerun-if-changed={}", dist.display());
    }
    let mut files = Vec::new();
    list(&dist, "", &mut files);
    // A folder without its page is of a build that failed or is under way.
    if files.iter().all(|(path, _)| path != "index.html") {
        files.clear();
    }
    files.sort();
    let mut code = String::from("&[\n");
    for (path, file) in files {
        code += &format!("    ({path:?}, include_bytes!({:?})),\n", file.display().to_string());
    }
    code += "]\n";
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says it"));
    fs::write(out.join("dashboard.in"), code).expect("cargo's own folder can be written");
}

/// All files below a folder, with their paths from the top.
fn list(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        if path.is_dir() {
            list(&path, &format!("{prefix}{name}/"), files);
        } else {
            files.push((format!("{prefix}{name}"), path.canonicalize().unwrap_or(path)));
        }
    }
}
