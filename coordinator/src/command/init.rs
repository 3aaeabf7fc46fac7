//! `paasta-coordinator init`.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use paasta_common::id::ClusterName;
use paasta_coordinator::offline::init::{Init, Made, init};
use paasta_identity::{IdentityDir, context::user_directory};
use paasta_process::help::examples;

use super::{
    place::{Place, identity_dir},
    say,
};

/// How many coordinators may join by the first token.
const COORDINATORS: u32 = 6;
/// How many agents may join by the first token.
const AGENTS: u32 = 1_000;

/// Make a cluster of this coordinator, with an authority of its own, and print the first tokens.
///
/// The authority's key stays on coordinators. Run again it changes nothing, but completes what a run
/// that was killed began, and renews the administrator's certificate of this machine when more than
/// half of its life is over.
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta-coordinator init --cluster prod --advertise 10.0.0.1:7401",
        "paasta-coordinator init --cluster test --node-id 1 --data-dir /tmp/paasta/data \
         --advertise 127.0.0.1:7401 --admin-dir /tmp/paasta/admin",
    ],
    "",
))]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The cluster's name, as in marathon-NAME.yaml. Default: `cluster` in the configuration.
    #[arg(long, value_name = "NAME")]
    cluster: Option<ClusterName>,
    /// The address at which others reach this coordinator. Default: `coordinator.advertise`.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Where the administrator's certificate of this machine is written: for the user who runs this.
    /// Default: paasta/identities/CLUSTER in XDG_CONFIG_HOME or ~/.config.
    #[arg(long, value_name = "DIR")]
    admin_dir: Option<PathBuf>,
    /// For how many seconds the first tokens may be used, 60 to 31536000.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600,
          value_parser = clap::value_parser!(u64).range(60..=31_536_000))]
    token_ttl: u64,
}

/// Makes the cluster, and says what must follow.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut system = args.place.load()?;
    if system.coordinator.tls.is_some() {
        bail!(
            "coordinator.tls is set: this cluster's certificates are made by its operators. Remove the setting, or go on with `paasta cluster init`"
        );
    }
    let cluster = args.cluster.or(system.cluster.take());
    let cluster = cluster.context("which cluster? give --cluster NAME, or set `cluster`")?;
    let node = system.coordinator.node_id.unwrap_or(1);
    let address = args
        .advertise
        .unwrap_or_else(|| system.coordinator.advertise.clone());
    let admin = match args.admin_dir {
        Some(dir) => std::path::absolute(dir).context("--admin-dir")?,
        None => admin_dir(&cluster)?,
    };
    let data_dir = PathBuf::from(&system.coordinator.data_dir);
    let (identity, admin) = (identity_dir(&system), IdentityDir::new(&admin));
    let made = init(&Init {
        cluster: &cluster,
        node,
        address: &address,
        data_dir: &data_dir,
        identity: &identity,
        admin: &admin,
        ttl: Duration::from_secs(args.token_ttl),
        uses: (COORDINATORS, AGENTS),
        now: SystemTime::now(),
    })
    .await?;
    say(&words(
        &made,
        &cluster,
        node,
        &address,
        (&identity, &admin),
        args.token_ttl,
    ))
}

fn admin_dir(cluster: &ClusterName) -> anyhow::Result<PathBuf> {
    let own = user_directory()
        .context("neither XDG_CONFIG_HOME nor HOME is an absolute path: give --admin-dir")?;
    Ok(own.join("identities").join(cluster.as_str()))
}

fn words(
    made: &Made,
    cluster: &ClusterName,
    node: u64,
    address: &str,
    (identity, admin): (&IdentityDir, &IdentityDir),
    ttl: u64,
) -> Vec<String> {
    let (id, files) = (&made.cluster_id, admin.files());
    let done = match made.tokens {
        Some(_) => {
            format!("cluster {cluster} (id {id}) is made of coordinator {node} at {address}")
        }
        None => format!("cluster {cluster} (id {id}) is there already, and was not changed"),
    };
    let renewed = match (made.admin, &made.tokens) {
        (true, None) => ", renewed now",
        _ => "",
    };
    let mut lines = vec![
        done,
        format!(
            "  identity of coordinator {node}: {}",
            identity.path().display()
        ),
        format!(
            "  authority's key:           {}",
            identity.authority_key().display()
        ),
        format!(
            "  administrator's files:     {}{renewed}",
            admin.path().display()
        ),
    ];
    match &made.tokens {
        Some((coordinators, agents)) => lines.extend([
            format!("Join tokens, printed once. They may be used for {ttl} s, and then no more:"),
            format!("  up to {COORDINATORS} coordinators: {coordinators}"),
            format!("  up to {AGENTS} agents:    {agents}"),
            "Next:".to_owned(),
            "  1. Start it: systemctl start paasta-coordinator".to_owned(),
            format!(
                "  2. On each further coordinator: paasta-coordinator join --token TOKEN {address}"
            ),
            format!("  3. On each host: paasta-agent join --token TOKEN {address}"),
        ]),
        None => {
            lines.push("For more join tokens: paasta token create coordinator|agent".to_owned())
        }
    }
    lines.extend([
        "The command line takes the administrator's files from its environment:".to_owned(),
        format!(
            "  export PAASTA_TLS_CA={} PAASTA_TLS_CERT={} PAASTA_TLS_KEY={}",
            files.ca.display(),
            files.certificate.display(),
            files.key.display()
        ),
    ]);
    lines
}
