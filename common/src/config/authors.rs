//! What the operator allows service authors beyond the defaults, and the most that they may ask for.

use std::collections::BTreeMap;

use crate::{
    container::{CAP_DROP, CAPABILITIES},
    image::Registry,
    soa::{
        marathon::ULIMIT_NAMES,
        node::Value,
        table::{Entries, Kind, Pattern, Range, Record},
    },
};

/// The most of /dev/shm unless the operator says otherwise, MiB.
pub const SHM_MAX_MB: i64 = 1_024;
/// The ceilings of ulimits unless the operator says otherwise, in each limit's own unit. A limit
/// that is not named has none: it is bounded by the container's memory and its number of
/// processes. `nice` is 20 less the priority; `rtprio` above 0 could take the host's CPUs.
const ULIMITS_MAX: [(&str, i64); 7] = [
    ("core", 1 << 30),
    ("msgqueue", 16 << 20),
    ("nice", 20),
    ("nofile", 1_048_576),
    ("nproc", 65_536),
    ("rtprio", 0),
    ("sigpending", 262_144),
];

/// The name of a capability, as an operator may write it.
pub(super) static CAPABILITY: Pattern = Pattern {
    fits: |text| CAPABILITIES.contains(&short(text)),
    regex: "^(CAP_)?(AUDIT_CONTROL|AUDIT_READ|AUDIT_WRITE|BLOCK_SUSPEND|BPF|CHECKPOINT_RESTORE|\
            CHOWN|DAC_OVERRIDE|DAC_READ_SEARCH|FOWNER|FSETID|IPC_LOCK|IPC_OWNER|KILL|LEASE|\
            LINUX_IMMUTABLE|MAC_ADMIN|MAC_OVERRIDE|MKNOD|NET_ADMIN|NET_BIND_SERVICE|\
            NET_BROADCAST|NET_RAW|PERFMON|SETFCAP|SETGID|SETPCAP|SETUID|SYSLOG|SYS_ADMIN|\
            SYS_BOOT|SYS_CHROOT|SYS_MODULE|SYS_NICE|SYS_PACCT|SYS_PTRACE|SYS_RAWIO|\
            SYS_RESOURCE|SYS_TIME|SYS_TTY_CONFIG|WAKE_ALARM)$",
    rule: "must be the name of a Linux capability, such as SYS_NICE",
};

/// A registry, in the operator's files and in service.yaml.
pub(crate) static REGISTRY: Pattern = Pattern {
    fits: |text| Registry::new(text).is_ok(),
    regex: "^(([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?([.][a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*\
            |\\[[a-fA-F0-9:]+\\])(:[0-9]{1,5})?|[a-z0-9]+((_|__|-+)[a-z0-9]+)*)\
            (/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*/?$",
    rule: "must be HOST[:PORT] of a registry, with a path behind it at most, as Docker writes it \
           in the names of images",
};

/// `max_ulimits`.
pub(super) static CEILINGS: Entries = Entries {
    about: "the greatest limits by their names; -1 for no ceiling",
    names: Some(&ULIMIT_NAMES),
    templates: false,
    kind: Kind::Whole(Range::within(-1.0, 9.0e15)),
    filled: false,
};

/// What authors may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorLimits {
    /// `allowed_cap_add`: capabilities that `cap_add` may name beside [`CAP_DROP`], without `CAP_`.
    /// Default none.
    pub cap_add: Vec<String>,
    /// `allow_host_network`: whether `net: host` is allowed. Default false.
    pub host_network: bool,
    /// `max_shm_size_mb`: the most that `shm-size` may ask for, in bytes. Default 1 GiB.
    pub shm_bytes: u64,
    /// `max_ulimits`: the greatest values of ulimits by name, the operator's over the defaults; a
    /// name that is not here, and -1, have no ceiling.
    pub ulimits: BTreeMap<String, i64>,
}

impl AuthorLimits {
    pub(super) fn decode(fields: &mut Record<'_, '_>) -> Self {
        let caps = fields.texts("allowed_cap_add").unwrap_or_default();
        let mut cap_add: Vec<String> = caps
            .iter()
            .map(|name| short(name).to_owned())
            .filter(|name| CAPABILITIES.contains(&name.as_str()))
            .collect();
        cap_add.sort();
        cap_add.dedup();
        let mut ulimits: BTreeMap<String, i64> = ULIMITS_MAX
            .iter()
            .map(|(name, max)| ((*name).to_owned(), *max))
            .collect();
        for (name, node) in fields.entries("max_ulimits") {
            if let Value::Int(max) = node.value {
                ulimits.insert(name.to_owned(), max);
            }
        }
        Self {
            cap_add,
            host_network: fields.boolean("allow_host_network").unwrap_or_default(),
            shm_bytes: fields.whole("max_shm_size_mb").unwrap_or_default() << 20,
            ulimits,
        }
    }

    /// Whether `cap_add` may name it.
    pub fn allows(&self, capability: &str) -> bool {
        CAP_DROP.contains(&capability) || self.cap_add.iter().any(|one| one == capability)
    }

    /// The ceiling of a ulimit, when it has one that `value` is above; -1 is above every ceiling.
    pub fn below(&self, name: &str, value: i64) -> Option<i64> {
        let max = *self.ulimits.get(name)?;
        (max >= 0 && (value < 0 || value > max)).then_some(max)
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("CAP_").unwrap_or(name)
}
