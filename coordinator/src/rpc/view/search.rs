//! Instances by name, team and standing. All instances are looked at once and cheaply, by what the
//! last plan counted; only those that may not be as wanted are judged as `paasta status` does it.

use std::collections::BTreeSet;

use paasta_common::id::{InstanceId, ServiceName};
use paasta_coordinator_core::{
    plan::report::Counts,
    state::{bounce::BounceRecord, instance::Instance, problems::ProblemScope},
};
use paasta_proto::{
    v1::{self, InstanceFilter},
    verdict::glance::{Need, glance},
};

use super::{View, hosts::number};
use crate::rpc::status::RpcError;

/// Instances in one page of a search, if the request does not give a number.
const PAGE: usize = 50;
/// Instances in one page of a search, at most.
const PAGE_MAX: usize = 200;

/// An instance that the text and the team of a search select.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The instance.
    pub id: InstanceId,
    /// Whether it is not as wanted, or may be so.
    pub unwell: bool,
    bouncing: bool,
    held: bool,
    in_alarm: bool,
}

impl Found {
    fn is(&self, filter: InstanceFilter) -> bool {
        match filter {
            InstanceFilter::Unspecified => true,
            InstanceFilter::NotAsWanted => self.unwell,
            InstanceFilter::Bouncing => self.bouncing,
            InstanceFilter::Held => self.held,
            InstanceFilter::InAlarm => self.in_alarm,
        }
    }
}

impl View<'_> {
    /// The instances that the text and the team of the request select, by service and instance. Of
    /// each that is not surely as wanted `unwell` is set: [`View::unwell_of`] judges those.
    pub fn search(&self, asked: &v1::SearchRequest) -> Vec<Found> {
        let text = asked.text.to_ascii_lowercase();
        let troubled = self.services_with_problems();
        let ids: BTreeSet<&InstanceId> = {
            let scopes = self.state.problems().keys();
            let broken = scopes.filter_map(|scope| match scope {
                ProblemScope::Instance(id) => Some(id),
                ProblemScope::Service(_) => None,
            });
            let known = self.state.instances().map(|(id, _)| id);
            known.chain(broken).collect()
        };
        let fits = |id: &&InstanceId| text.is_empty() || id.to_string().contains(&text);
        let seen = |id: &&InstanceId| self.sight.covers_instance(id);
        let found = ids.into_iter().filter(fits).filter(seen).filter_map(|id| {
            let instance = self.state.instance(id);
            let team = instance.and_then(|instance| instance.spec.team.as_deref());
            let of_team = asked.team.is_empty() || team == Some(asked.team.as_str());
            of_team.then(|| self.found(id, instance, troubled.contains(&id.service)))
        });
        found.collect()
    }

    fn services_with_problems(&self) -> BTreeSet<&ServiceName> {
        let scopes = self.state.problems().keys();
        scopes
            .map(|scope| match scope {
                ProblemScope::Instance(id) => &id.service,
                ProblemScope::Service(service) => service,
            })
            .collect()
    }

    fn found(&self, id: &InstanceId, instance: Option<&Instance>, troubled: bool) -> Found {
        let alert = self.state.alerts().get(id);
        let Some(instance) = instance else {
            return Found {
                id: id.clone(),
                unwell: true,
                bouncing: false,
                held: false,
                in_alarm: false,
            };
        };
        let report = self.report.instances.get(id);
        let sum = |counts: &Counts| {
            let Counts {
                happy,
                unhappy,
                starting,
                at_risk,
                draining,
                stopping,
                unknown,
                lost,
            } = counts;
            happy + unhappy + starting + at_risk + draining + stopping + unknown + lost
        };
        let old = report.map_or(0, |report| sum(&report.old));
        let counted = report.is_some_and(|report| {
            let wanted = instance.wanted();
            report.new.happy == wanted && sum(&report.new) == wanted && report.waiting.is_empty()
        });
        let desired = instance.desired_app();
        let bounce = instance.bounce.as_ref();
        let to_desired = bounce.is_some_and(|bounce| bounce.to == *desired);
        Found {
            id: id.clone(),
            // A coordinator that does not lead has no report.
            unwell: troubled
                || !instance.declared
                || bounce.is_some()
                || old > 0
                || (self.leads() && !counted),
            bouncing: to_desired || old > 0,
            held: bounce.is_some_and(BounceRecord::is_held),
            in_alarm: alert.is_some_and(|alert| alert.critical),
        }
    }

    /// Those of the instances that are not as wanted.
    pub fn unwell_of(&self, ids: &[InstanceId]) -> BTreeSet<InstanceId> {
        let unwell = |id: &&InstanceId| glance(&self.instance(id, false)).need != Need::Rest;
        match self.leads() {
            true => ids.iter().filter(unwell).cloned().collect(),
            // What its replicated state shows is all that it knows.
            false => ids.iter().cloned().collect(),
        }
    }

    /// The answer without its instances, and these: a page of `found`.
    ///
    /// # Errors
    /// [`RpcError::BadRequest`] for a page that no answer named.
    pub fn search_page(
        &self,
        asked: &v1::SearchRequest,
        found: &[Found],
    ) -> Result<(v1::SearchResponse, Vec<InstanceId>), RpcError> {
        let after: Option<InstanceId> = match asked.page.as_str() {
            "" => None,
            page => Some(page.parse().map_err(|error| RpcError::BadRequest {
                field: "page",
                message: format!("{error}; give the next_page of the answer before"),
            })?),
        };
        let size = match usize::try_from(asked.page_size) {
            Ok(0) | Err(_) => PAGE,
            Ok(size) => size.min(PAGE_MAX),
        };
        let counted = |filter| number(found.iter().filter(|one| one.is(filter)).count());
        let fits = found.iter().filter(|one| one.is(asked.filter()));
        let fits = fits.map(|one| &one.id);
        let later = fits.filter(|id| after.as_ref().is_none_or(|after| *id > after));
        let mut page: Vec<&InstanceId> = later.take(size + 1).collect();
        let next_page = super::next_page(&mut page, size);
        let answer = v1::SearchResponse {
            cluster: self.cluster_name(),
            instances: Vec::new(),
            next_page,
            now_ms: self.now.0,
            total: counted(InstanceFilter::Unspecified),
            not_as_wanted: counted(InstanceFilter::NotAsWanted),
            bouncing: counted(InstanceFilter::Bouncing),
            held: counted(InstanceFilter::Held),
            in_alarm: counted(InstanceFilter::InAlarm),
            stale: self.stale(asked.stale),
        };
        Ok((answer, page.into_iter().cloned().collect()))
    }
}
