//! The only ways in which replicas come, change and go: tables, index and the host's generation
//! move together here.

use paasta_common::{
    assignment::{Tried, Want},
    id::{AppId, HostId, InstanceId, ReplicaId},
};

use super::{ClusterState, Replica, command::Context};

impl ClusterState {
    pub(super) fn insert_replica(
        &mut self,
        context: &Context<'_>,
        id: ReplicaId,
        replica: Replica,
    ) {
        if let Some(app) = self.tables.apps.get(&replica.app) {
            self.index.add(id, &replica, &app.spec);
            self.touch_host(context, &replica.host);
            self.tables.next_replica = self.tables.next_replica.max(id.0.saturating_add(1));
            self.tables.replicas.insert(id, replica);
        }
    }

    pub(super) fn change_want(&mut self, context: &Context<'_>, id: ReplicaId, want: Want) {
        let Some(replica) = self.tables.replicas.get_mut(&id) else {
            return;
        };
        replica.want = want;
        replica.want_since = context.at;
        replica.want_index = context.index;
        let host = replica.host.clone();
        self.touch_host(context, &host);
    }

    pub(super) fn change_tried(&mut self, context: &Context<'_>, id: ReplicaId, tried: Tried) {
        let Some(replica) = self.tables.replicas.get_mut(&id) else {
            return;
        };
        replica.tried = tried;
        let host = replica.host.clone();
        self.touch_host(context, &host);
    }

    pub(super) fn remove_replica(
        &mut self,
        context: &Context<'_>,
        id: ReplicaId,
    ) -> Option<Replica> {
        let replica = self.tables.replicas.remove(&id)?;
        if let Some(app) = self.tables.apps.get(&replica.app) {
            self.index.remove(id, &replica, &app.spec);
        }
        self.touch_host(context, &replica.host);
        self.drop_app_if_unused(&replica.app);
        Some(replica)
    }

    /// What this host is told has changed.
    pub(super) fn touch_host(&mut self, context: &Context<'_>, host: &HostId) {
        if let Some(record) = self.tables.hosts.get_mut(host) {
            let before = std::mem::replace(&mut record.generation, context.index);
            self.index
                .generation(host, Some(before), Some(context.index));
        }
    }

    /// An app stays while it is desired, could be rolled back to, or has replicas.
    pub(super) fn drop_app_if_unused(&mut self, app: &AppId) {
        let Some(record) = self.tables.apps.get(app) else {
            return;
        };
        let wanted = self
            .tables
            .instances
            .get(&record.instance)
            .is_some_and(|i| i.refers_to(app));
        if !wanted && !self.index.app_in_use(app) {
            self.tables.apps.remove(app);
        }
    }

    /// The replicas of `app` that are to run, on hosts that are up and not draining: those that
    /// count towards how many are wanted.
    pub(super) fn counted(&self, instance: &InstanceId, app: &AppId) -> usize {
        let counts = |replica: &Replica| {
            replica.app == *app
                && replica.want == Want::Run
                && self
                    .tables
                    .hosts
                    .get(&replica.host)
                    .is_some_and(|host| host.takes_work())
        };
        self.replicas_of(instance)
            .filter(|(_, replica)| counts(replica))
            .count()
    }
}
