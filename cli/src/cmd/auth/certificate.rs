//! `paasta auth certificate`: this command's own certificate.

use std::time::SystemTime;

use paasta_common::time::Timestamp;
use paasta_process::help::examples;
use serde_json::json;

use crate::{cmd::Context, exit::Exit, render};

/// Show the certificate that this command uses, and what is wrong with it
///
/// Asks no coordinator: whether the identity is revoked shows only when one is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &["paasta auth certificate", "paasta auth certificate --json"],
    "\
Exit codes:
  0  coordinators of its authority accept it now
  1  there is none, or it cannot be used",
))]
pub struct Args {}

/// Shows it.
///
/// # Errors
/// There is none, it cannot be read, or standard output is gone.
pub fn run(context: &Context) -> anyhow::Result<Exit> {
    let Some(credentials) = context.credentials()? else {
        anyhow::bail!(
            "this command has no certificate: use a context of `paasta login`, or name the files by \
             --tls-ca, --tls-cert and --tls-key (or PAASTA_TLS_CA, PAASTA_TLS_CERT and \
             PAASTA_TLS_KEY)"
        );
    };
    let files = credentials.files();
    let validity = credentials.validity();
    let problem = credentials.check(SystemTime::now()).err();
    let problem = problem.map(|error| error.to_string()).unwrap_or_default();
    let shown = json!({
        "identity": credentials.identity().to_string(),
        "issuer": credentials.issuer(),
        "not_before_ms": Timestamp::from(validity.not_before).0,
        "not_after_ms": Timestamp::from(validity.not_after).0,
        "certificate": files.certificate,
        "key": files.key,
        "authorities": files.ca,
        "problem": problem,
    });
    match context.global.json {
        true => context.print_json(&shown)?,
        false => {
            let at = |at| render::time::moment(Timestamp::from(at).0, &context.view);
            let mut text = format!(
                "Identity:    {}\nIssued by:   {}\nValid:       from {} to {}\nCertificate: {}\nKey:         {}\nAuthorities: {}\n",
                credentials.identity(),
                render::plain(&credentials.issuer()),
                at(validity.not_before),
                at(validity.not_after),
                files.certificate.display(),
                files.key.display(),
                files.ca.display(),
            );
            if !problem.is_empty() {
                text.push_str(&format!("Problem:     {}\n", render::plain(&problem)));
            }
            context.print(&text)?;
        }
    }
    Ok(match problem.is_empty() {
        true => Exit::Ok,
        false => Exit::Failed,
    })
}
