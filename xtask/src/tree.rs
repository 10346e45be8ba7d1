//! The text files of the repository.
//!
//! The folder is walked, so that a new file is checked before it is added to git. What `.gitignore` names is left
//! out; of its grammar only names, folders (`name/`) and rooted paths (`/name`) are used here, and only those are
//! understood.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// A file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    pub(crate) fn is_markdown(&self) -> bool {
        self.has_extension("md")
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }
}

/// All text files below the root, by path. Files that are not UTF-8 are left out.
pub(crate) fn files(root: &Path) -> Result<Vec<File>> {
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let ignored: Vec<&str> = ignored.lines().map(str::trim).collect();
    let mut found = Vec::new();
    walk(root, "", &ignored, &mut found)?;
    found.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(found)
}

fn walk(root: &Path, folder: &str, ignored: &[&str], found: &mut Vec<File>) -> Result<()> {
    let entries = fs::read_dir(root.join(folder))
        .with_context(|| format!("the folder {folder:?} cannot be read"))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if is_ignored(&path, &name, ignored) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(root, &path, ignored, found)?;
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push(File { path, text });
        }
    }
    Ok(())
}

fn is_ignored(path: &str, name: &str, ignored: &[&str]) -> bool {
    name == ".git"
        || ignored.iter().any(|pattern| {
            let pattern = pattern.trim_end_matches('/');
            match (pattern.strip_prefix('/'), pattern.strip_prefix('*')) {
                (Some(rooted), _) => rooted == path,
                (None, Some(end)) => !end.is_empty() && name.ends_with(end),
                (None, None) => pattern == name,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::is_ignored;

    #[test]
    fn what_gitignore_names_is_left_out_and_nothing_else() {
        let ignored = ["/target", "*.profraw", "/data", "regressions/", ""];
        let is_ignored =
            |path: &str| is_ignored(path, path.rsplit('/').next().unwrap_or(path), &ignored);
        for path in [".git", "target", "crates/core/x.profraw", "crates/core/regressions"] {
            assert!(is_ignored(path), "{path}");
        }
        for path in ["crates/core/src/target", "docs", "crates/store/data", ".gitignore"] {
            assert!(!is_ignored(path), "{path}");
        }
    }
}
