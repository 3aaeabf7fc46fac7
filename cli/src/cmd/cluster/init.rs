//! `paasta cluster init`: makes a cluster, once.

use std::str::FromStr;

use anyhow::bail;
use paasta_common::id::ClusterName;
use paasta_process::help::examples;
use paasta_proto::v1::{InitRequest, cluster_client::ClusterClient};

use crate::{
    client::{Address, request},
    cmd::Context,
    exit::Exit,
};

/// Make a cluster of the given coordinators; doing it twice changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = examples(
    &[
        "paasta cluster init --cluster main --member 1=10.0.0.1:7401 --member \
         2=10.0.0.2:7401 --member 3=10.0.0.3:7401",
        "paasta cluster init --cluster test --member 1=127.0.0.1:7401",
    ],
    "",
))]
pub struct Args {
    /// The cluster's name, as in marathon-NAME.yaml
    #[arg(long, value_name = "NAME")]
    pub cluster: ClusterName,
    /// A coordinator: its node id and address; once for each
    #[arg(long = "member", value_name = "ID=HOST:PORT", required = true)]
    pub members: Vec<Member>,
}

/// A coordinator of the new cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    id: u64,
    address: Address,
}

impl Member {
    /// Its node id, from 1.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it is reached.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl FromStr for Member {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (id, address) = text
            .split_once('=')
            .ok_or("expected ID=HOST:PORT, as 1=10.0.0.1:7000")?;
        match id.parse() {
            Ok(id) if id > 0 => {
                let address = address.parse().map_err(|error| format!("{error}"))?;
                Ok(Self { id, address })
            }
            _ => Err(format!("{id:?} is not a node id: expected a number from 1")),
        }
    }
}

/// Makes the cluster and prints its id.
///
/// # Errors
/// Members that contradict each other; no coordinator answered, or it refused.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let ask = InitRequest {
        cluster: args.cluster.to_string(),
        members: args
            .members
            .iter()
            .map(|one| (one.id, one.address.to_string()))
            .collect(),
    };
    if ask.members.len() < args.members.len() {
        bail!("--member: each node id may be given once");
    }
    for (at, member) in args.members.iter().enumerate() {
        if args.members[..at]
            .iter()
            .any(|other| other.address == member.address)
        {
            bail!("--member: {} is given twice", member.address);
        }
    }
    // Only a member can be asked, and the members are known here: no configuration is needed.
    let addresses = match context.global.coordinators.is_empty() {
        true => args
            .members
            .iter()
            .map(|member| member.address.clone())
            .collect(),
        false => context.global.coordinators.clone(),
    };
    let timeout = context.global.timeout;
    let mut coordinators = context.reaching(addresses, timeout)?;
    let answer = coordinators.call(|channel| {
        let ask = request(ask.clone(), timeout);
        async move { ClusterClient::new(channel).init(ask).await }
    });
    let response = answer.await?;
    if context.global.json {
        context.print_json(&response)?;
    } else {
        let done = match response.created {
            true => "made",
            false => "was there already",
        };
        context.print(&format!(
            "cluster {} {done}, id {}\n",
            args.cluster, response.cluster_id
        ))?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_an_id_and_an_address() {
        let member: Member = "2=h:7000".parse().expect("a member");
        assert_eq!((member.id, member.address.as_str()), (2, "h:7000"));
        for refused in ["", "h:7000", "0=h:7000", "x=h:7000", "1=h", "1="] {
            assert!(refused.parse::<Member>().is_err(), "{refused}");
        }
    }
}
