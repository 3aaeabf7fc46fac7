//! Whether consensus has ended here by itself. openraft tells of it in its metrics, and not at all
//! when its task panicked: then only their sender is gone.

use std::sync::Arc;

use openraft::errors::Fatal;
use tokio::sync::watch;

use super::types::TypeConfig;

/// Why consensus ended by itself; nothing while it goes on, or was told to end. Clones are the
/// same.
#[derive(Clone, Debug)]
pub(super) struct Ended(Arc<watch::Sender<Option<String>>>);

impl Default for Ended {
    fn default() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }
}

impl Ended {
    /// Takes in what the metrics say, and whether their sender is gone.
    pub(super) fn hear(&self, running: &Result<(), Fatal<TypeConfig>>, gone: bool) {
        let why = match running {
            Err(Fatal::Stopped) => None,
            Err(fatal) => Some(fatal.to_string()),
            Ok(()) => gone.then(|| "its task panicked".to_owned()),
        };
        let Some(why) = why else { return };
        self.0.send_if_modified(|known| {
            let new = known.is_none();
            known.get_or_insert(why);
            new
        });
    }

    pub(super) fn why(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    pub(super) async fn wait(&self) -> String {
        let mut known = self.0.subscribe();
        loop {
            if let Some(why) = known.borrow_and_update().clone() {
                return why;
            }
            if known.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_by_itself_is_told_from_one_that_was_asked_for() {
        let ended = Ended::default();
        ended.hear(&Ok(()), false);
        ended.hear(&Err(Fatal::Stopped), true);
        assert_eq!(ended.why(), None);
        ended.hear(&Ok(()), true);
        assert_eq!(ended.why().as_deref(), Some("its task panicked"));
        ended.hear(&Err(Fatal::Panicked), true);
        assert_eq!(
            ended.why().as_deref(),
            Some("its task panicked"),
            "the first"
        );
    }
}
