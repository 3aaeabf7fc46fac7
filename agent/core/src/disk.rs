//! Disk: which runs use more than their limit, and whether the disk of the container engine is too
//! full for new ones.

use paasta_common::{
    disk::DiskLimits,
    report::{HostPart, Runtime},
    time::Timestamp,
};

/// So many measurements in a row above the limit end a run: a file that is written and deleted
/// again between two of them does not.
pub const OVER_MAX: u32 = 2;
/// From here on the disk of the engine is too full for new replicas, percent.
pub const FULL_PERCENT: u64 = 95;
/// Below this it takes new replicas again, percent.
pub const ROOM_PERCENT: u64 = 90;
const MIB: u64 = 1 << 20;

/// Where and how the container engine keeps images and containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storage {
    /// The storage driver, `overlay2`.
    pub driver: String,
    /// The file system that it uses, `extfs` or `xfs`; empty where the engine does not say.
    pub backing: String,
    /// Its directory.
    pub root: String,
    /// The space of the file system of that directory; none when it cannot be measured.
    pub space: Option<Space>,
}

/// The space of a file system, as a process without privileges may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space {
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes that are free.
    pub free_bytes: u64,
}

impl Storage {
    /// Whether the driver can limit the writable layer of a container. Of overlay2 on xfs it is not
    /// known whether the file system has project quotas: dockerd refuses the limit where not.
    pub fn can_limit(&self) -> bool {
        match self.driver.as_str() {
            "btrfs" | "zfs" => true,
            "overlay2" => self.backing == "xfs",
            _ => false,
        }
    }
}

impl Space {
    /// How full it is, percent, rounded down; an empty file system is not full.
    pub fn percent(self) -> u64 {
        let (used, free) = (u128::from(self.used_bytes), u128::from(self.free_bytes));
        let percent = (used * 100).checked_div(used + free).unwrap_or(0);
        u64::try_from(percent).unwrap_or(100)
    }
}

/// The limit that the engine itself enforces, MiB; 0 for none.
pub fn engine_limit_mb(limits: DiskLimits, limit_mb: u64) -> u64 {
    match limits {
        DiskLimits::StorageDriver => limit_mb,
        DiskLimits::Watch | DiskLimits::Off => 0,
    }
}

/// Whether runs with this limit, MiB, are measured. A limit of 0 is none.
pub fn is_watched(limits: DiskLimits, limit_mb: u64) -> bool {
    limits != DiskLimits::Off && limit_mb > 0
}

/// What the measurements of one run show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measured {
    /// How many in a row were above the limit, the last one included.
    over: u32,
    /// What the last one found, MiB, rounded up.
    used_mb: u64,
}

impl Measured {
    /// Takes a measurement of a run whose limit is `limit_mb`, MiB.
    pub fn take(&mut self, used_bytes: u64, limit_mb: u64) {
        self.used_mb = used_bytes.div_ceil(MIB);
        self.over = match used_bytes > limit_mb.saturating_mul(MIB) {
            true => self.over.saturating_add(1),
            false => 0,
        };
    }

    /// What the run uses, MiB, where that is a reason to end it.
    pub fn too_much(&self) -> Option<u64> {
        (self.over >= OVER_MAX).then_some(self.used_mb)
    }
}

/// Judges whether the disk of the engine is too full for new replicas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EngineDisk {
    /// Since when it is, and how full it was last found, in words.
    full: Option<(Timestamp, String)>,
}

impl EngineDisk {
    /// Takes a measurement. One without a result changes nothing.
    pub fn take(&mut self, storage: &Storage, now: Timestamp) {
        let Some(percent) = storage.space.map(Space::percent) else {
            return;
        };
        let limit = match self.full {
            Some(_) => ROOM_PERCENT,
            None => FULL_PERCENT,
        };
        self.full = (percent >= limit).then(|| {
            let since = self.full.as_ref().map_or(now, |(since, _)| *since);
            let words = format!(
                "the file system of {} is {percent} % full; new replicas come again below \
                 {ROOM_PERCENT} %",
                storage.root
            );
            (since, words)
        });
    }

    /// The verdict.
    pub fn runtime(&self) -> Runtime {
        match &self.full {
            None => Runtime::Ok,
            Some((since, reason)) => Runtime::Degraded {
                reason: reason.clone(),
                since: *since,
                part: HostPart::DockerDisk,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(driver: &str, backing: &str, percent: u64) -> Storage {
        Storage {
            driver: driver.to_owned(),
            backing: backing.to_owned(),
            root: "/var/lib/docker".to_owned(),
            space: Some(Space {
                used_bytes: percent,
                free_bytes: 100 - percent,
            }),
        }
    }

    #[test]
    fn two_measurements_in_a_row_above_the_limit_are_too_much() {
        let mut measured = Measured::default();
        let mut take = |mib: u64| {
            measured.take(mib * MIB, 16);
            measured.too_much()
        };
        assert_eq!(take(40), None);
        assert_eq!(take(16), None, "the limit itself is allowed");
        assert_eq!(take(40), None, "not in a row");
        assert_eq!(take(41), Some(41));
        assert_eq!(take(42), Some(42));
        assert_eq!(take(1), None);
        measured.take(16 * MIB + 1, 16);
        measured.take(16 * MIB + 1, 16);
        assert_eq!(measured.too_much(), Some(17), "rounded up");
    }

    #[test]
    fn the_engine_is_asked_only_where_the_setting_says_so_and_off_watches_nothing() {
        use DiskLimits::{Off, StorageDriver, Watch};
        let of = |limits| (engine_limit_mb(limits, 7), is_watched(limits, 7));
        assert_eq!(of(Watch), (0, true));
        assert_eq!(of(StorageDriver), (7, true));
        assert_eq!(of(Off), (0, false));
        assert!(!is_watched(Watch, 0) && engine_limit_mb(StorageDriver, 0) == 0);
    }

    #[test]
    fn some_drivers_limit_writable_layers() {
        for (driver, backing, can) in [
            ("overlay2", "xfs", true),
            ("overlay2", "extfs", false),
            ("overlay2", "", false),
            ("btrfs", "", true),
            ("zfs", "", true),
            ("fuse-overlayfs", "xfs", false),
            ("vfs", "xfs", false),
        ] {
            let found = storage(driver, backing, 0).can_limit();
            assert_eq!(found, can, "{driver} on {backing}");
        }
    }

    #[test]
    fn the_engines_disk_is_full_at_one_level_and_has_room_again_at_a_lower_one() {
        let mut disk = EngineDisk::default();
        let mut at = |now: u64, percent: u64| {
            disk.take(&storage("overlay2", "extfs", percent), Timestamp(now));
            match disk.runtime() {
                Runtime::Ok => None,
                Runtime::Degraded { since, part, .. } => Some((since.0, part)),
            }
        };
        let full = |since| Some((since, HostPart::DockerDisk));
        assert_eq!(at(1, 94), None);
        assert_eq!(at(2, 95), full(2));
        assert_eq!(at(3, 94), full(2));
        assert_eq!(at(4, 90), full(2));
        assert_eq!(at(5, 89), None);
        assert_eq!(at(6, 94), None);
        assert_eq!(at(7, 100), full(7));
        // What cannot be measured is as it was.
        let mut unknown = storage("overlay2", "extfs", 0);
        unknown.space = None;
        disk.take(&unknown, Timestamp(8));
        let Runtime::Degraded { reason, .. } = disk.runtime() else {
            panic!("it was full");
        };
        assert_eq!(
            reason,
            "the file system of /var/lib/docker is 100 % full; new replicas come again below 90 %"
        );
        assert_eq!(Space::default().percent(), 0);
    }
}
