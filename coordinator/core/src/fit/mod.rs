//! Whether a replica may be on a host: the rules that the planner searches by and that apply checks
//! again (I2), in one place so that the two cannot disagree. Which of the fitting hosts is best is
//! `plan::place`.

pub(crate) mod rules;
pub(crate) mod tally;

use std::fmt;

use paasta_common::{app::Resources, overcommit::Overcommit};
use serde::{Deserialize, Serialize};

/// Why a host cannot take a replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unfit {
    /// The host is not registered.
    Unknown,
    /// The host was declared lost.
    Lost,
    /// The host's lease ran out, or its agent has no session.
    Silent,
    /// The agent has not sent a complete report to this leader.
    NotReported,
    /// The host's container runtime does not answer.
    RuntimeDegraded,
    /// The disk of the host's agent is full or fails.
    DiskDegraded,
    /// The disk of the host's container runtime is nearly full.
    DockerDiskFull,
    /// A part of the host fails that only a newer agent knows.
    PartDegraded {
        /// Its number on the wire.
        part: i32,
    },
    /// The host is being drained for maintenance.
    Draining,
    /// The host is in another pool.
    Pool {
        /// The pool that is asked for.
        wanted: String,
    },
    /// A placement constraint does not hold there.
    Constraint {
        /// The constraint, as written.
        constraint: String,
    },
    /// Too little CPU is free.
    Cpus {
        /// What is asked for, in thousandths of a core.
        wanted_milli: u64,
        /// The overcommit of the host's pool, in thousandths; none when it gives what it has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overcommit_milli: Option<u32>,
    },
    /// Too little memory is free.
    Memory {
        /// What is asked for, in MiB.
        wanted_mb: u64,
        /// As for CPUs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overcommit_milli: Option<u32>,
    },
    /// Too little disk is free.
    Disk {
        /// What is asked for, in MiB.
        wanted_mb: u64,
        /// As for CPUs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overcommit_milli: Option<u32>,
    },
    /// Too few GPUs are free.
    Gpus {
        /// What is asked for.
        wanted: u64,
    },
    /// Another replica there has the same static port.
    Port {
        /// The port.
        port: u16,
    },
    /// The app fails there, or did not long ago.
    AppFailed,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "not registered"),
            Self::Lost => write!(f, "lost"),
            Self::Silent => write!(f, "silent"),
            Self::NotReported => write!(f, "not reported yet"),
            Self::RuntimeDegraded => write!(f, "with a degraded container runtime"),
            Self::DiskDegraded => write!(f, "whose agent cannot write its disk"),
            Self::DockerDiskFull => write!(f, "whose Docker disk is nearly full"),
            Self::PartDegraded { part } => {
                write!(
                    f,
                    "of which part {part} fails, which this version does not know"
                )
            }
            Self::Draining => write!(f, "draining"),
            Self::Pool { wanted } => write!(f, "not in pool {wanted}"),
            Self::Constraint { constraint } => write!(f, "against constraint {constraint}"),
            Self::Cpus {
                wanted_milli,
                overcommit_milli,
            } => {
                let (cores, rest) = (wanted_milli / 1000, wanted_milli % 1000);
                write!(f, "lack {cores}.{rest:03} CPUs{}", At(*overcommit_milli))
            }
            Self::Memory {
                wanted_mb,
                overcommit_milli,
            } => write!(f, "lack {wanted_mb} MB memory{}", At(*overcommit_milli)),
            Self::Disk {
                wanted_mb,
                overcommit_milli,
            } => write!(f, "lack {wanted_mb} MB disk{}", At(*overcommit_milli)),
            Self::Gpus { wanted } => write!(f, "lack {wanted} GPUs"),
            Self::Port { port } => write!(f, "with port {port} taken"),
            Self::AppFailed => write!(f, "where it failed"),
        }
    }
}

/// Says by what a pool multiplies its hosts' capacity, if it does.
struct At(Option<u32>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(milli) => write!(f, " at overcommit {}.{:03}", milli / 1000, milli % 1000),
        }
    }
}

/// The first resource of which `free`, by the pool's overcommit, has less than `need`, if any.
pub(crate) fn lacking(free: Resources, need: Resources, overcommit: Overcommit) -> Option<Unfit> {
    let said = |milli: u32| (milli != 1_000).then_some(milli);
    if need.cpus_milli > free.cpus_milli {
        return Some(Unfit::Cpus {
            wanted_milli: need.cpus_milli,
            overcommit_milli: said(overcommit.cpus_milli),
        });
    }
    if need.mem_mb > free.mem_mb {
        return Some(Unfit::Memory {
            wanted_mb: need.mem_mb,
            overcommit_milli: said(overcommit.mem_milli),
        });
    }
    if need.disk_mb > free.disk_mb {
        return Some(Unfit::Disk {
            wanted_mb: need.disk_mb,
            overcommit_milli: said(overcommit.disk_milli),
        });
    }
    (need.gpus > free.gpus).then_some(Unfit::Gpus { wanted: need.gpus })
}
