//! `fairlane backup` and `restore`: copies of the embedded store, made on the server's machine while it runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use fairlane_api::Timestamp;
use fairlane_server::{Config, StoreKind};
use fairlane_store::sqlite::backup::{self, Copy};
use serde::{Deserialize, Serialize};

use crate::exit::Usage;
use crate::target::Target;
use crate::text;

/// In the backup's folder.
const DESCRIPTION: &str = "backup.json";
/// Of this form there has been no other.
const VERSION: u32 = 1;

/// Copy the embedded store while the server runs, or stands
///
/// Run it on the server's machine, with the server's configuration. The copy is what one commit left, and is checked. The root key
/// is not in it, and without that key nobody can read it: keep the two apart.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// A folder for the copy, which is made; it must not be there
    out: PathBuf,
    #[command(flatten)]
    of: Of,
}

/// Put a backup where a server will open it
///
/// Run it where the server is to run, with its configuration and the root key that the store was sealed with. There must be no
/// store yet.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The folder that `backup` made
    from: PathBuf,
    /// Check the backup, write nothing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
struct Of {
    /// The server's configuration, in TOML; variables FAIRLANE_ win
    #[arg(long, short, value_name = "FILE", env = "FAIRLANE_CONFIG")]
    config: Option<PathBuf>,
    /// The server's data folder, if no configuration names it
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// What stands beside the copies.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    /// The program that made it.
    fairlane: String,
    /// Everything that was acknowledged before this is in it.
    taken_at: Timestamp,
    regions: Vec<Copy>,
}

impl Of {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::load(self.config.as_deref(), |name| std::env::var(name).ok())?;
        if let Some(folder) = &self.data_dir {
            config.data_dir.clone_from(folder);
        }
        if config.store != StoreKind::Sqlite {
            bail!(Usage("the configuration keeps rows in memory: there is nothing to copy".into()));
        }
        Ok(config)
    }
}

impl Backup {
    pub(crate) fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let config = self.of.config()?;
        let out = &self.out;
        std::fs::create_dir(out)
            .with_context(|| format!("cannot make the folder {}", out.display()))?;
        let taken_at = text::now();
        let all = config.all_regions();
        let made = all.iter().map(|region| {
            let bar = printer.spinner(format!("copying {region}"));
            let copy = backup::back_up(&config.data_dir, region.as_str(), out);
            bar.finish_and_clear();
            copy
        });
        let regions = made.collect::<Result<Vec<Copy>, _>>();
        let regions = match regions {
            Ok(regions) => regions,
            Err(error) => {
                // Half a backup is worse than none. It was made here, and has only what was written here.
                let _ = std::fs::remove_dir_all(out);
                return Err(error.into());
            }
        };
        let fairlane = env!("CARGO_PKG_VERSION").to_owned();
        let description = Description { version: VERSION, fairlane, taken_at, regions };
        let path = out.join(DESCRIPTION);
        std::fs::write(&path, serde_json::to_string_pretty(&description)? + "\n")
            .and_then(|()| std::fs::File::open(&path)?.sync_all())
            .with_context(|| format!("cannot write {}", path.display()))?;
        printer.data(&description, told)?;
        printer.note("The root key is not in it. Keep a copy of that elsewhere: without it this cannot be read.");
        Ok(())
    }
}

impl Restore {
    pub(crate) fn execute(self, target: &Target) -> anyhow::Result<()> {
        let printer = target.printer();
        let description = read(&self.from)?;
        for copy in &description.regions {
            backup::check(copy, &self.from)?;
        }
        if self.check {
            return printer.data(&description, |description| {
                format!("{}\nIt is in order, to the byte.", told(description))
            });
        }
        let config = self.of.config()?;
        let regions: Vec<String> = config.all_regions().iter().map(ToString::to_string).collect();
        let has = |copy: &&Copy| !regions.contains(&copy.region);
        if let Some(other) = description.regions.iter().find(has) {
            bail!(Usage(format!(
                "the backup has the region `{}`, and the configuration has {}: give it the configuration of the server that it is of",
                other.region,
                regions.join(", ")
            )));
        }
        let roots = fairlane_server::root_key::read(&config)?;
        for copy in &description.regions {
            let bar = printer.spinner(format!("restoring {}", copy.region));
            let restored = backup::restore(copy, &self.from, &config.data_dir, roots.clone());
            bar.finish_and_clear();
            restored?;
        }
        printer.data(&description, |description| {
            format!(
                "{}\nRestored to {}. Start the server there; leases that were given out after the copy are void.",
                told(description),
                config.data_dir.display()
            )
        })
    }
}

fn read(folder: &Path) -> anyhow::Result<Description> {
    let path = folder.join(DESCRIPTION);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("{} is no backup: cannot read {}", folder.display(), path.display())
    })?;
    let description: Description = serde_json::from_str(&text)
        .with_context(|| format!("{} is no description of a backup", path.display()))?;
    if description.version != VERSION {
        bail!(
            "{} has version {}, and this program knows {VERSION}: use the release that made it",
            path.display(),
            description.version
        );
    }
    Ok(description)
}

fn told(description: &Description) -> String {
    let line = |copy: &Copy| {
        let key = match &copy.root_keys[..] {
            [] => "nothing is sealed in it".to_owned(),
            keys => format!("root key {}", keys.join(", ")),
        };
        let Copy { region, tenants, runs, live, bytes, .. } = copy;
        format!(
            "{region}: {tenants} tenants, {runs} runs, {live} of them live; {bytes} bytes; {key}\n"
        )
    };
    let regions: String = description.regions.iter().map(line).collect();
    format!("Of {}, whole up to then.\n{}", text::time(description.taken_at), regions.trim_end())
}
