//! `paasta context add`: a context from the options that reach its cluster.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use paasta_common::id::{ClusterName, ContextName};
use paasta_identity::context::{self, ContextTls, Contexts, Pem};
use paasta_process::help::examples;

use crate::{cmd::Context, exit::Exit, terminal::note};

/// Write a context from --coordinators, --tls-ca, --tls-cert and --tls-key
///
/// The first context becomes the current one.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta context add demo --coordinators 127.0.0.1:7401",
        "paasta context add prod --coordinators c1:7401,c2:7401,c3:7401 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key",
    ],
    "The file is ~/.config/paasta/contexts/NAME.yaml, or below XDG_CONFIG_HOME; only you can read it.",
))]
pub struct Args {
    /// The context
    #[arg(value_name = "NAME")]
    pub name: ContextName,
    /// The cluster [default: that of the certificate, else NAME]
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<ClusterName>,
    /// Copy certificates and key into the context, instead of naming their files
    #[arg(long)]
    pub embed: bool,
    /// Replace a context of this name
    #[arg(long)]
    pub replace: bool,
}

/// Checks what is given, and writes it.
///
/// # Errors
/// No coordinator is named, the files of TLS cannot be used, the name is taken, or the context
/// cannot be written.
pub fn run(args: &Args, contexts: &Contexts, context: &Context) -> anyhow::Result<Exit> {
    let global = &context.global;
    anyhow::ensure!(
        !global.coordinators.is_empty(),
        "name the coordinators of the context: --coordinators HOST:PORT,..."
    );
    anyhow::ensure!(
        args.replace || !contexts.path(&args.name).exists(),
        "there is a context {} already: give another name, or --replace",
        args.name
    );
    let tls = tls(args, context)?;
    let own = context.tls()?.map(|tls| tls.identity());
    let own = own.map(|identity| identity.cluster().clone());
    let cluster = match (&args.cluster, own) {
        (Some(cluster), _) => cluster.clone(),
        (None, Some(cluster)) => cluster,
        (None, None) => ClusterName::new(args.name.as_str())?,
    };
    let new = context::Context {
        cluster,
        coordinators: global.coordinators.clone(),
        tls,
    };
    // Its certificate is of this cluster.
    new.credentials(&contexts.path(&args.name))?;
    let path = contexts.add(&args.name, &new)?;
    let current = contexts.current()?.as_ref() == Some(&args.name);
    let which = if current { ", the current one" } else { "" };
    note(&format!(
        "context {} is written to {}{which}",
        args.name,
        path.display()
    ));
    Ok(Exit::Ok)
}

fn tls(args: &Args, context: &Context) -> anyhow::Result<Option<ContextTls>> {
    let global = &context.global;
    let (Some(ca), Some(certificate), Some(key)) =
        (&global.tls_ca, &global.tls_cert, &global.tls_key)
    else {
        return Ok(None);
    };
    let pem = |path: &PathBuf| pem(path, args.embed);
    Ok(Some(ContextTls {
        ca: pem(ca)?,
        certificate: pem(certificate)?,
        key: pem(key)?,
    }))
}

fn pem(path: &Path, embed: bool) -> anyhow::Result<Pem> {
    let read = || format!("cannot read {}", path.display());
    match embed {
        true => Ok(Pem::Text(fs::read_to_string(path).with_context(read)?)),
        false => Ok(Pem::File(std::path::absolute(path).with_context(read)?)),
    }
}
