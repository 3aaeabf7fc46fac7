//! How much of what its hosts have each pool gives out, complete: pools that are not named give out
//! exactly what there is. Nothing that is placed leaves on that account.

use std::collections::BTreeSet;

use paasta_common::overcommit::{Overcommit, Pools};
use serde::{Deserialize, Serialize};

use super::Context;
use crate::state::{
    ClusterState,
    event::{EventKind, Subject},
    outcome::Outcome,
};

/// How much of what its hosts have each pool gives out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetPools {
    /// The factors, by pool.
    pub pools: Pools,
}

impl SetPools {
    pub(super) fn apply(&self, state: &mut ClusterState, context: &Context<'_>) -> Outcome {
        let factors = self.pools.iter().filter(|(_, factors)| !factors.is_none());
        let pools: Pools = factors
            .map(|(pool, factors)| (pool.clone(), *factors))
            .collect();
        if state.tables.pools == pools {
            return Outcome::Unchanged;
        }
        let before = std::mem::replace(&mut state.tables.pools, pools.clone());
        let names: BTreeSet<&String> = before.keys().chain(pools.keys()).collect();
        for name in names {
            let of = |pools: &Pools| pools.get(name).copied().unwrap_or_default();
            if of(&before) != of(&pools) {
                let text = difference(state, name, of(&before), of(&pools));
                let subject = Subject::Config(format!("pool {name}"));
                state.note(context, EventKind::Config, subject, text);
            }
        }
        Outcome::Applied
    }
}

fn difference(state: &ClusterState, pool: &str, before: Overcommit, after: Overcommit) -> String {
    let full = state
        .hosts()
        .filter(|(id, host)| host.info.pool == pool && state.is_overfull(id))
        .count();
    let mut text = format!("overcommit {after} (was {before})");
    if full > 0 {
        text.push_str(&format!(
            "; {} more than that: what runs there stays, nothing more is placed there",
            match full {
                1 => "1 host holds".to_owned(),
                full => format!("{full} hosts hold"),
            }
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use paasta_common::{app::Resources, spec::BounceMethod};

    use crate::{
        build::{Cluster, app_id, host_id, main_instance, spec},
        fit::Unfit,
        state::{
            command::{Command, Place, PlaceReplica},
            outcome::{Reason, RefusedReplica},
        },
    };

    fn set(cpus_milli: u32) -> Command {
        let factors = Overcommit {
            cpus_milli,
            ..Overcommit::default()
        };
        let pools = Pools::from([("default".to_owned(), factors)]);
        Command::SetPools(SetPools { pools })
    }

    /// As many replicas of one core on the host of eight cores.
    fn place(cluster: &mut Cluster, count: u64) -> Outcome {
        let first = cluster.state.next_replica().0;
        let replicas = (first..first + count).map(|id| PlaceReplica {
            id: paasta_common::id::ReplicaId(id),
            instance: main_instance(),
            app: app_id(&main_instance(), 1),
            host: host_id(1),
            failures: 0,
            failed_on: None,
        });
        let replicas = replicas.collect();
        cluster.apply(Command::Place(Place { replicas }))
    }

    #[test]
    fn more_is_given_out_and_what_is_placed_stays_when_less_is() {
        let mut cluster = Cluster::new(1);
        let id = main_instance();
        let mut small = spec(&id, 1, 40, BounceMethod::Crossover);
        std::sync::Arc::make_mut(&mut small.app).resources.mem_mb = 1;
        cluster.set(&id, small);
        assert_eq!(place(&mut cluster, 8), Outcome::Applied);
        let full = |cluster: &mut Cluster| {
            let id = cluster.state.next_replica();
            let milli = cluster.state.overcommit("default").cpus_milli;
            let reason = Reason::Unfit(Unfit::Cpus {
                wanted_milli: 1_000,
                overcommit_milli: (milli != 1_000).then_some(milli),
            });
            let refused = vec![RefusedReplica { id, reason }];
            assert_eq!(place(cluster, 1), Outcome::Partial { refused });
        };
        full(&mut cluster);
        cluster.must(set(1_500));
        assert_eq!(cluster.apply(set(1_500)), Outcome::Unchanged);
        assert_eq!(place(&mut cluster, 4), Outcome::Applied);
        full(&mut cluster);
        cluster.must(set(1_000));
        assert_eq!(cluster.state.pools().len(), 0, "one is the same as none");
        assert_eq!(cluster.state.replica_count(), 12);
        full(&mut cluster);
        let said = |event: &&crate::state::event::Event| event.text.contains("1 host holds more");
        assert_eq!(cluster.state.events().filter(said).count(), 1);
        let host = &cluster.state.host(&host_id(1)).unwrap().info;
        let all = Resources {
            cpus_milli: 8_000,
            ..host.capacity
        };
        assert_eq!(cluster.state.allocatable(host), all);
    }
}
