//! How a host holds its containers to the `disk` of their instance.

use serde::{Deserialize, Serialize};

/// What a host does about the `disk` of an instance.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum DiskLimits {
    /// The agent measures what each run uses and ends a run that uses more.
    #[default]
    Watch,
    /// The storage driver refuses writes beyond the limit, where it can; the agent measures too,
    /// as the driver does not count the sandbox.
    StorageDriver,
    /// Nothing: `disk` is for placement only.
    Off,
}

/// What a host reports that it does about disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostDiskLimits {
    /// One of the settings.
    Known(DiskLimits),
    /// A setting that only a newer agent knows, by its number on the wire.
    Unrecognized(i32),
}

impl DiskLimits {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Watch, Self::StorageDriver, Self::Off];

    /// The word of the setting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::StorageDriver => "storage-driver",
            Self::Off => "off",
        }
    }
}

/// The word is none of the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not one of watch, storage-driver, off")]
pub struct DiskLimitsError {
    /// What was found.
    found: String,
}

impl std::str::FromStr for DiskLimits {
    type Err = DiskLimitsError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|one| one.as_str() == word);
        known.ok_or_else(|| DiskLimitsError {
            found: word.to_owned(),
        })
    }
}
