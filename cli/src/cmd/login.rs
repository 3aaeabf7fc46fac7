//! `paasta login`: a person or program gets its certificate by a token. The key is made here and
//! never leaves.

use std::path::PathBuf;

use anyhow::Context as _;
use paasta_common::joining::Joiner;
use paasta_identity::{
    IdentityDir,
    context::user_directory,
    joining::{Wanted, join},
    token::Token,
};
use paasta_process::help::examples;

use super::Context;
use crate::{client::Address, exit::Exit, terminal::note};

/// The exit codes.
const EXITS: &str = "\
Exit codes:
  0  the certificate is there
  1  the token was refused, or the directory has a certificate already";

/// Get your certificate by a token of `paasta auth invite`
///
/// Makes a key here, and writes it with the certificate to a directory that only you can read. A
/// login that was interrupted is repeated with the same command, and takes no second token.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta login PAASTA1-p-... 10.0.0.1:7401",
        "paasta login PAASTA1-p-... 10.0.0.1:7401 10.0.0.2:7401 --dir ~/paasta/prod",
    ],
    EXITS,
))]
pub struct Args {
    /// The token
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// Coordinators of the cluster
    #[arg(value_name = "HOST:PORT", required = true)]
    pub addresses: Vec<Address>,
    /// The directory of the certificate and its key [default: login in $XDG_CONFIG_HOME/paasta or
    /// ~/.config/paasta]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Gets the certificate.
///
/// # Errors
/// The token was refused, no coordinator answered, or the files cannot be written.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let token: Token = args.token.trim().parse()?;
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => default_dir()?,
    };
    let wanted = Wanted {
        joiner: Joiner::Person,
        name: String::new(),
    };
    let addresses: Vec<String> = args.addresses.iter().map(ToString::to_string).collect();
    let identity = IdentityDir::new(&dir);
    let joined = join(&identity, &token, &wanted, &addresses).await?;
    let files = identity.files();
    let text = format!(
        "PAASTA_COORDINATORS={}\nPAASTA_TLS_CA={}\nPAASTA_TLS_CERT={}\nPAASTA_TLS_KEY={}\n",
        joined.coordinators.join(","),
        files.ca.display(),
        files.certificate.display(),
        files.key.display(),
    );
    context.print(&text)?;
    note(&format!(
        "this is {} now; with these variables in the environment `paasta` uses its certificate",
        joined.identity
    ));
    Ok(Exit::Ok)
}

fn default_dir() -> anyhow::Result<PathBuf> {
    let own = user_directory();
    let own = own.context("neither XDG_CONFIG_HOME nor HOME is an absolute path: give --dir")?;
    Ok(own.join("login"))
}
