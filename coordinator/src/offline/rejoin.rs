//! `paasta-coordinator rejoin`: sets a damaged store aside, so that the machine can join its cluster
//! again as a new member. Its old id is never used again: what it voted for is forgotten, and it
//! could vote twice.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{OfflineError, failed, is_free, set_aside};
use crate::store::{StoreError, identity_of};

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where the old store is kept.
    pub aside: PathBuf,
    /// The id it had, if that can still be read.
    pub old: Option<u64>,
    /// The cluster it belonged to, if that can still be read and there was one.
    pub cluster_id: Option<String>,
}

/// Moves the store of `data_dir` aside and leaves an empty directory for coordinator `node`.
///
/// # Errors
/// [`OfflineError`]: there is none, its coordinator runs, or `node` is the id it had.
pub fn rejoin(data_dir: &Path, node: u64) -> Result<SetAside, OfflineError> {
    if node == 0 {
        return Err(OfflineError::NoId);
    }
    if is_free(data_dir)? {
        let dir = data_dir.to_owned();
        return Err(OfflineError::Empty { dir });
    }
    let identity = match identity_of(data_dir) {
        Ok(identity) => identity,
        Err(StoreError::Damaged { .. }) => None,
        Err(other) => return Err(other.into()),
    };
    let old = identity.as_ref().map(|identity| identity.node);
    if old == Some(node) {
        return Err(OfflineError::SameId { id: node });
    }
    let in_use = crate::store::lock_dir(data_dir)?;
    let aside = set_aside(data_dir, "damaged")?;
    drop(in_use);
    fs::create_dir_all(data_dir).map_err(failed("create", data_dir))?;
    let cluster = identity.map(|identity| identity.cluster);
    Ok(SetAside {
        aside,
        old,
        cluster_id: cluster.filter(|id| !id.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_set_aside_whatever_is_left_of_it() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = root.path().join("data");
        assert!(matches!(rejoin(&dir, 4), Err(OfflineError::Empty { .. })));
        for expected in ["data.damaged-1", "data.damaged-2"] {
            fs::create_dir_all(&dir).expect("it can be made");
            fs::write(dir.join("hardstate"), b"nothing that can be read").expect("written");
            let done = rejoin(&dir, 4).expect("set aside");
            assert_eq!(done.aside, root.path().join(expected));
            assert_eq!((done.old, done.cluster_id), (None, None));
            assert!(done.aside.join("hardstate").exists());
            assert_eq!(fs::read_dir(&dir).expect("there").count(), 0);
        }
        assert!(matches!(rejoin(&dir, 0), Err(OfflineError::NoId)));
    }
}
