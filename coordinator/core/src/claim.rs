//! Which machine may speak for a host id. An id belongs to the machine that registered it, for as
//! long as its lease lives; after that another machine may take its place, as when a broken one is
//! replaced.

use paasta_common::{host::HostInfo, time::Timestamp};

use crate::{plan::observed::Observed, state::host::Host};

/// Why a machine may not speak for a host id now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "host id {host} belongs to another machine, at {holder}, whose lease lives: give this machine \
     an id of its own (agent.host_id, --host-id). If it replaces that machine, stop the agent \
     there; {host} is free when its lease has ended"
)]
pub struct IdTaken {
    /// The host id.
    pub host: String,
    /// The address of the machine that has it.
    pub holder: String,
}

/// Whether the machine of `info` may speak for its host id, as the leader that observed `observed`
/// sees it at `now`.
///
/// # Errors
/// [`IdTaken`] while the lease of another machine lives, or may live: a new leader does not know
/// before a lease has passed.
pub fn claim(
    known: Option<&Host>,
    observed: &Observed,
    info: &HostInfo,
    now: Timestamp,
) -> Result<(), IdTaken> {
    let Some(known) = known.filter(|known| !known.is_lost()) else {
        return Ok(());
    };
    if known.info.machine.is_none() || known.info.machine == info.machine {
        return Ok(());
    }
    let until = match observed.hosts.get(&info.id) {
        Some(heard) => heard.lease_until,
        None => observed.leader_since.after_ms(observed.settings.lease_ms),
    };
    if until < now {
        return Ok(());
    }
    Err(IdTaken {
        host: info.id.to_string(),
        holder: known.info.address.clone(),
    })
}

#[cfg(test)]
mod tests {
    use paasta_common::id::MachineId;

    use super::*;
    use crate::{
        build::{Cluster, host, host_id, register},
        plan::observed::{HostObserved, PlanSettings},
        state::command::{Command, HostLost},
    };

    const NOW: Timestamp = Timestamp(1_000_000);

    fn machine(digit: &str) -> HostInfo {
        HostInfo {
            machine: MachineId::new(&digit.repeat(32)).ok(),
            ..host(1)
        }
    }

    #[test]
    fn a_second_machine_waits_for_the_end_of_the_lease() {
        let mut cluster = Cluster::new(1);
        let settings = PlanSettings::default();
        let mut observed = Observed::new(NOW, settings);
        let heard = HostObserved::new(NOW, &settings);
        let may = |cluster: &Cluster, observed: &Observed, info: &HostInfo, now| {
            claim(cluster.state.host(&host_id(1)), observed, info, now).is_ok()
        };
        let (first, second) = (machine("a"), machine("b"));
        assert!(
            may(&cluster, &observed, &first, NOW),
            "an older agent had it"
        );
        cluster.apply(register(first.clone()));
        observed.hosts.insert(host_id(1), heard);
        let ends = NOW.after_ms(settings.lease_ms);
        let after = ends.after_ms(1);
        for now in [NOW, ends, after] {
            assert!(may(&cluster, &observed, &first, now), "its own");
        }
        assert!(!may(&cluster, &observed, &second, ends));
        assert!(
            !may(&cluster, &observed, &host(1), ends),
            "nor one that names no machine"
        );
        assert!(may(&cluster, &observed, &second, after));
        observed.hosts.clear();
        assert!(
            !may(&cluster, &observed, &second, ends),
            "a new leader waits"
        );
        assert!(may(&cluster, &observed, &second, after));
        cluster.must(Command::HostLost(HostLost { host: host_id(1) }));
        assert!(
            may(&cluster, &observed, &second, NOW),
            "a lost one has none"
        );
    }
}
