//! What hosts have and what is taken, by attributes.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use paasta_process::http::Problem;
use paasta_proto::v1::{HostState, HostStatus, Resources};
use serde::{Deserialize, Serialize};

use super::{Json, cluster};
use crate::http::{Api, answer::Flag};

/// Attributes to group by, at most: more would say nothing.
const GROUPINGS_MAX: usize = 8;

/// What may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// Attributes, with commas between.
    groupings: Option<String>,
    /// `attribute:value,value`, with blanks or semicolons between several.
    filter: Option<String>,
    stale: Option<Flag>,
}

/// One group of hosts.
#[derive(Serialize)]
pub(super) struct Group {
    groupings: BTreeMap<String, String>,
    hosts: u32,
    cpus: Amount,
    mem: Amount,
    disk: Amount,
    gpus: Amount,
}

#[derive(Clone, Copy, Serialize)]
struct Amount {
    total: f64,
    used: f64,
    free: f64,
}

/// `GET /resources/utilization`: lost hosts are left out.
pub(super) async fn get(
    State(api): State<Api>,
    Query(asked): Query<Asked>,
) -> Result<Json<Vec<Group>>, Problem> {
    let stale = asked.stale.is_some_and(Flag::is_set);
    let groupings = groupings(asked.groupings.as_deref())?;
    let filters = filters(asked.filter.as_deref())?;
    let response = cluster::asked(&api, stale).await?;
    let hosts = response.hosts.iter().filter(|host| {
        let passes = |(attribute, values): &(&str, Vec<&str>)| {
            values.contains(&attribute_of(host, attribute))
        };
        host.state() != HostState::Lost && filters.iter().all(passes)
    });
    let mut groups: BTreeMap<Vec<&str>, Vec<&HostStatus>> = BTreeMap::new();
    for host in hosts {
        let key = groupings
            .iter()
            .map(|name| attribute_of(host, name))
            .collect();
        groups.entry(key).or_default().push(host);
    }
    let group = |(key, hosts): (Vec<&str>, Vec<&HostStatus>)| {
        let named = groupings.iter().zip(key);
        group(
            named
                .map(|(name, value)| ((*name).to_owned(), value.to_owned()))
                .collect(),
            &hosts,
        )
    };
    Ok(Json(groups.into_iter().map(group).collect()))
}

fn groupings(asked: Option<&str>) -> Result<Vec<&str>, Problem> {
    let names: Vec<&str> = asked.map_or_else(
        || vec!["pool"],
        |text| {
            text.split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .collect()
        },
    );
    match names.len() {
        1..=GROUPINGS_MAX => Ok(names),
        _ => Err(Problem::new(
            400,
            format!(
                "groupings: expected one to {GROUPINGS_MAX} attributes, as in groupings=pool,region"
            ),
        )),
    }
}

fn filters(asked: Option<&str>) -> Result<Vec<(&str, Vec<&str>)>, Problem> {
    let words = asked.unwrap_or_default().split([' ', ';']);
    words
        .filter(|word| !word.is_empty())
        .map(|word| match word.split_once(':') {
            Some((name, values)) if !name.is_empty() => Ok((name, values.split(',').collect())),
            _ => {
                let text = format!("filter: {word:?} is not ATTRIBUTE:VALUE,VALUE");
                Err(Problem::new(400, text))
            }
        })
        .collect()
}

fn attribute_of<'a>(host: &'a HostStatus, name: &str) -> &'a str {
    match name {
        "pool" => &host.pool,
        "hostname" => &host.id,
        name => host.attributes.get(name).map_or("unknown", String::as_str),
    }
}

fn group(groupings: BTreeMap<String, String>, hosts: &[&HostStatus]) -> Group {
    let amount = |scale: f64, of: fn(&Resources) -> u64| {
        let sum = |side: fn(&HostStatus) -> Option<Resources>| {
            let each = hosts.iter().filter_map(|host| side(host));
            each.map(|resources| of(&resources)).sum::<u64>() as f64 / scale
        };
        let (total, used) = (sum(|host| host.capacity), sum(|host| host.used));
        Amount {
            total,
            used,
            free: (total - used).max(0.0),
        }
    };
    Group {
        groupings,
        hosts: u32::try_from(hosts.len()).unwrap_or(u32::MAX),
        cpus: amount(1_000.0, |resources| resources.cpus_milli),
        mem: amount(1.0, |resources| resources.mem_mb),
        disk: amount(1.0, |resources| resources.disk_mb),
        gpus: amount(1.0, |resources| resources.gpus),
    }
}
