//! How much of what its hosts have a pool gives out. Kept in thousandths: replicated state holds no
//! floats.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::app::Resources;

/// The factors of the pools that have any, by name.
pub type Pools = BTreeMap<String, Overcommit>;

/// One, in thousandths: exactly what there is.
const ONE: u32 = 1_000;

/// By what a host's capacity is multiplied before replicas are placed by it, in thousandths. More
/// than 1000 gives out more than there is, less keeps some back. GPUs are never shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Overcommit {
    /// Of the cores.
    pub cpus_milli: u32,
    /// Of the memory.
    pub mem_milli: u32,
    /// Of the disk.
    pub disk_milli: u32,
}

impl Default for Overcommit {
    fn default() -> Self {
        Self {
            cpus_milli: ONE,
            mem_milli: ONE,
            disk_milli: ONE,
        }
    }
}

impl Overcommit {
    /// What may be given out of `capacity`, rounded down.
    #[must_use]
    pub fn of(self, capacity: Resources) -> Resources {
        let times =
            |amount: u64, factor: u32| amount.saturating_mul(factor.into()) / u64::from(ONE);
        Resources {
            cpus_milli: times(capacity.cpus_milli, self.cpus_milli),
            mem_mb: times(capacity.mem_mb, self.mem_milli),
            disk_mb: times(capacity.disk_mb, self.disk_milli),
            gpus: capacity.gpus,
        }
    }

    /// Whether hosts are given exactly what they have.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Overcommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let factor = |milli: u32| f64::from(milli) / f64::from(ONE);
        write!(
            f,
            "cpus x {}, mem x {}, disk x {}",
            factor(self.cpus_milli),
            factor(self.mem_milli),
            factor(self.disk_milli)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_multiply_what_there_is_and_never_gpus() {
        let capacity = Resources {
            cpus_milli: 3_001,
            mem_mb: 1_000,
            disk_mb: u64::MAX,
            gpus: 2,
        };
        assert_eq!(Overcommit::default().of(capacity).mem_mb, 1_000);
        let factors = Overcommit {
            cpus_milli: 1_500,
            mem_milli: 900,
            disk_milli: 2_000,
        };
        let given = factors.of(capacity);
        assert_eq!(
            (given.cpus_milli, given.mem_mb, given.gpus),
            (4_501, 900, 2)
        );
        assert_eq!(factors.to_string(), "cpus x 1.5, mem x 0.9, disk x 2");
        assert!(Overcommit::default().is_none() && !factors.is_none());
    }
}
