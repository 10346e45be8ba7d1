//! `fairlane completions`: scripts that complete commands and options in a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::target::Target;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "For bash: fairlane completions bash > ~/.local/share/bash-completion/completions/fairlane"
)]
pub(crate) struct Completions {
    shell: Shell,
}

impl Completions {
    pub(crate) fn execute(self, target: &Target) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "fairlane", &mut script);
        target.printer().text(&String::from_utf8_lossy(&script))
    }
}
