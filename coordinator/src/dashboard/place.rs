//! What a URL shows: each page with its filters, which are in the URL and nowhere else.

use axum::{extract::Query, http::Uri};
use futures_util::FutureExt as _;
use paasta_common::id::{InstanceId, cut};
use paasta_process::http::Problem;
use paasta_proto::{
    v1::{
        EventsRequest, InstanceFilter, MetastatusRequest, SearchRequest, StatusRequest,
        admin_server::Admin as _,
    },
    words,
};
use serde::{Deserialize, de::DeserializeOwned};
use tonic::Request;

use super::{
    page::Page,
    read::{Reader, Standing},
    views,
};
use crate::http::Api;

/// Bytes of one filter, at most.
const FILTER_BYTES_MAX: usize = 200;
/// Instances of which the first page lists each, at most.
const NOW_MAX: u32 = 60;
/// Instances in one page of the list.
const SERVICES_PAGE: u32 = 50;
/// Events in the page of all.
const EVENTS: u32 = 150;
/// Events in the page of an instance.
const INSTANCE_EVENTS: u32 = 20;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// What needs a look now.
    Now,
    /// The list of instances.
    Services(Services),
    /// One instance.
    Instance(InstanceId),
    /// The hosts.
    Hosts(Hosts),
    /// What happened.
    Events(Events),
    /// The coordinators.
    Cluster,
}

/// The filters of the list of instances, as the URL has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Services {
    /// A part of the name.
    pub(super) q: String,
    /// The word of an [`InstanceFilter`]; empty for all.
    pub(super) state: String,
    /// The team.
    pub(super) team: String,
    /// The last name of the page before.
    pub(super) after: String,
}

/// The filters of the hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Hosts {
    /// The pool.
    pub(super) pool: String,
    /// The location.
    pub(super) location: String,
    /// The word of a state.
    pub(super) state: String,
    /// The host that is shown with everything.
    pub(super) host: String,
    /// The last host of the page before.
    pub(super) after: String,
}

/// The filter of the events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Events {
    /// The instance, or the service.
    pub(super) i: String,
}

impl Place {
    /// The place of a URL.
    ///
    /// # Errors
    /// 400 for a filter that cannot be, 404 for a path that is no page.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        match uri.path() {
            "/" => Ok(Self::Now),
            "/services" => {
                let asked: Services = filters(uri)?;
                asked.filter()?;
                bounded(&[&asked.q, &asked.team, &asked.after])?;
                Ok(Self::Services(asked))
            }
            "/hosts" => {
                let asked: Hosts = filters(uri)?;
                bounded(&[
                    &asked.pool,
                    &asked.location,
                    &asked.state,
                    &asked.host,
                    &asked.after,
                ])?;
                Ok(Self::Hosts(asked))
            }
            "/events" => {
                let asked: Events = filters(uri)?;
                bounded(&[&asked.i])?;
                Ok(Self::Events(asked))
            }
            "/cluster" => Ok(Self::Cluster),
            path => match path.strip_prefix("/i/") {
                Some(name) => {
                    let id = name.parse::<InstanceId>();
                    let id = id.map_err(|error| Problem::new(400, error.to_string()))?;
                    Ok(Self::Instance(id))
                }
                None => Err(Problem::new(404, "there is no such page")),
            },
        }
    }

    /// Asks for what it shows, and lays it out. What cannot be shown is a page as well.
    pub(super) async fn page(&self, api: &Api) -> Page {
        match self.shown(api).await {
            Ok(page) => page,
            Err(problem) => Page::problem(api, &problem),
        }
    }

    async fn shown(&self, api: &Api) -> Result<Page, Problem> {
        let mut reader = Reader::new(api);
        match self {
            Self::Now => now(api, &mut reader).await,
            Self::Services(asked) => services(api, &mut reader, asked).await,
            Self::Instance(id) => instance(api, &mut reader, id).await,
            Self::Hosts(asked) => {
                let answer = metastatus(&mut reader).await?;
                Ok(views::hosts::page(standing(api, &reader), asked, &answer))
            }
            Self::Events(asked) => events(api, &mut reader, asked).await,
            Self::Cluster => {
                let answer = metastatus(&mut reader).await?;
                let ends = api.certificate_ends_ms();
                Ok(views::cluster::page(standing(api, &reader), &answer, ends))
            }
        }
    }
}

impl Services {
    /// What it chooses.
    ///
    /// # Errors
    /// 400 for a word that is none, which names those that are.
    pub(super) fn filter(&self) -> Result<InstanceFilter, Problem> {
        let value = words::value::<InstanceFilter>(&self.state);
        let known = value.and_then(|value| InstanceFilter::try_from(value).ok());
        known.ok_or_else(|| {
            let refusal = words::refusal::<InstanceFilter>(cut(&self.state));
            Problem::new(400, format!("state: {refusal}"))
        })
    }
}

/// Of this moment; without a leader where the answers are this coordinator's own.
fn standing(api: &Api, reader: &Reader) -> Standing {
    let mut standing = Standing::of(api);
    if reader.is_stale() {
        standing.leader = None;
    }
    standing
}

fn filters<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let asked = Query::<T>::try_from_uri(uri);
    asked.map(|Query(asked)| asked).map_err(|error| {
        Problem::new(
            400,
            format!("the part of the URL after the question mark: {error}"),
        )
    })
}

fn bounded(filters: &[&String]) -> Result<(), Problem> {
    match filters.iter().find(|text| text.len() > FILTER_BYTES_MAX) {
        None => Ok(()),
        Some(text) => Err(Problem::new(
            400,
            format!(
                "a filter has {} bytes and may have {FILTER_BYTES_MAX}; it begins {:?}",
                text.len(),
                cut(text)
            ),
        )),
    }
}

async fn metastatus(reader: &mut Reader) -> Result<paasta_proto::v1::MetastatusResponse, Problem> {
    let answer = reader.ask(|admin, stale| {
        async move {
            admin
                .metastatus(Request::new(MetastatusRequest { stale }))
                .await
        }
        .boxed()
    });
    answer.await
}

async fn now(api: &Api, reader: &mut Reader) -> Result<Page, Problem> {
    let cluster = metastatus(reader).await?;
    let unwell = reader.ask(|admin, stale| {
        let ask = SearchRequest {
            filter: InstanceFilter::NotAsWanted.into(),
            page_size: NOW_MAX,
            stale,
            ..SearchRequest::default()
        };
        async move { admin.search(Request::new(ask)).await }.boxed()
    });
    let unwell = unwell.await?;
    let ends = api.certificate_ends_ms();
    Ok(views::now::page(
        standing(api, reader),
        &cluster,
        &unwell,
        ends,
    ))
}

async fn services(api: &Api, reader: &mut Reader, asked: &Services) -> Result<Page, Problem> {
    let ask = SearchRequest {
        text: asked.q.clone(),
        team: asked.team.clone(),
        filter: asked.filter()?.into(),
        page_size: SERVICES_PAGE,
        page: asked.after.clone(),
        stale: false,
    };
    let answer = reader.ask(move |admin, stale| {
        let ask = SearchRequest {
            stale,
            ..ask.clone()
        };
        async move { admin.search(Request::new(ask)).await }.boxed()
    });
    let answer = answer.await?;
    Ok(views::services::page(standing(api, reader), asked, &answer))
}

async fn instance(api: &Api, reader: &mut Reader, id: &InstanceId) -> Result<Page, Problem> {
    let ask = StatusRequest {
        service: id.service.to_string(),
        instances: vec![id.instance.to_string()],
        replicas: true,
        ..StatusRequest::default()
    };
    let status = reader.ask(move |admin, stale| {
        let ask = StatusRequest {
            stale,
            ..ask.clone()
        };
        async move { admin.status(Request::new(ask)).await }.boxed()
    });
    let mut status = status.await?;
    let ask = EventsRequest {
        instance: id.to_string(),
        limit: INSTANCE_EVENTS,
        ..EventsRequest::default()
    };
    let events = reader.ask(move |admin, stale| {
        let ask = EventsRequest {
            stale,
            ..ask.clone()
        };
        async move { admin.events(Request::new(ask)).await }.boxed()
    });
    let events = events.await?.events;
    let one = status.instances.pop();
    let one = one.ok_or_else(|| Problem::new(404, format!("{id} is not known")))?;
    Ok(views::instance::page(standing(api, reader), &one, &events))
}

async fn events(api: &Api, reader: &mut Reader, asked: &Events) -> Result<Page, Problem> {
    let ask = EventsRequest {
        instance: asked.i.clone(),
        limit: EVENTS,
        ..EventsRequest::default()
    };
    let answer = reader.ask(move |admin, stale| {
        let ask = EventsRequest {
            stale,
            ..ask.clone()
        };
        async move { admin.events(Request::new(ask)).await }.boxed()
    });
    let answer = answer.await?;
    Ok(views::events::page(
        standing(api, reader),
        asked,
        &answer.events,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Place, Problem> {
        Place::of(&text.parse().unwrap())
    }

    #[test]
    fn a_url_is_a_page_with_its_filters() {
        assert_eq!(place("/"), Ok(Place::Now));
        let asked = place("/services?q=we%62&state=not-as-wanted&team=a%26b").unwrap();
        let Place::Services(services) = asked else {
            panic!("{asked:?}");
        };
        assert_eq!(services.filter(), Ok(InstanceFilter::NotAsWanted));
        assert_eq!(
            (services.q.as_str(), services.team.as_str()),
            ("web", "a&b")
        );
        assert!(matches!(place("/i/hello.main"), Ok(Place::Instance(_))));
        assert!(matches!(
            place("/events?i=hello.main"),
            Ok(Place::Events(_))
        ));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_can() {
        let text = |path: &str| place(path).map(drop).unwrap_err();
        let state = text("/services?state=sad");
        assert_eq!(state.code, 400);
        assert!(
            state
                .text
                .contains("not-as-wanted, bouncing, held, in-alarm"),
            "{state:?}"
        );
        assert_eq!(text("/i/hello").code, 400);
        assert_eq!(text("/nothing").code, 404);
        let long = text(&format!("/services?q={}", "x".repeat(FILTER_BYTES_MAX + 1)));
        assert!(long.text.contains("may have 200"), "{long:?}");
        assert_eq!(text("/hosts?pool=a&pool=b").code, 400);
    }
}
