//! Which images go when they take more disk than they may. Only those of our services and our
//! registry, the longest unused first; what a container uses, anybody's, or a replica needs stays
//! whatever the budget says.

use std::collections::{BTreeMap, BTreeSet};

use paasta_common::{
    image::{ImageName, Registry},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// What an image of a service is called in front of the service's name, as PaaSTA's `itest`
/// builds it.
const SERVICES: &str = "services-";

/// The images of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stock {
    /// Every image.
    pub images: Vec<HeldImage>,
    /// Names and ids of the images of all containers, dead ones and strangers' too.
    pub used: BTreeSet<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldImage {
    /// `sha256:...`.
    pub id: String,
    /// `REPOSITORY:TAG`, each of them.
    pub names: Vec<String>,
    /// `REPOSITORY@DIGEST`, each of them.
    pub digests: Vec<String>,
    /// Its size, layers shared with others counted in.
    pub bytes: u64,
    /// When it was built.
    pub created_at: Timestamp,
}

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectSettings {
    /// The registry: images of others are not ours.
    pub registry: String,
    /// Bytes that our images may take.
    pub budget_bytes: u64,
    /// An image that was in use within this time stays, milliseconds.
    pub min_age_ms: u64,
    /// So many images of each service stay, the last used ones.
    pub keep_per_service: usize,
}

impl Default for CollectSettings {
    fn default() -> Self {
        Self {
            registry: String::new(),
            budget_bytes: 20 << 30,
            min_age_ms: 3_600_000,
            keep_per_service: 2,
        }
    }
}

/// When each image of ours was last in use, or first seen if it never was; by id.
pub type LastUse = BTreeMap<String, Timestamp>;

/// What becomes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// A container uses it.
    InUse,
    /// A replica of this host is to run it, or it is being fetched.
    Needed,
    /// It also has a name that is not ours.
    Shared,
    /// It was in use a short while ago.
    Recent,
    /// It is one of the last used of its service.
    Kept,
    /// There is room for it.
    Fits,
    /// It goes.
    Goes,
}

/// An image of ours and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What to remove it by: each of its names, or its id when it has none.
    pub names: Vec<String>,
    /// Its size, bytes.
    pub bytes: u64,
    /// When it was last in use.
    pub last_used: Timestamp,
    /// What becomes of it.
    pub fate: Fate,
}

impl Fate {
    /// The reason, for an operator.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "a container uses it",
            Self::Needed => "a replica needs it",
            Self::Shared => "it has another name, which is not ours",
            Self::Recent => "it was in use a short while ago",
            Self::Kept => "it is among the last of its service",
            Self::Fits => "it is within the budget",
            Self::Goes => "unused, and the images exceed their budget",
        }
    }
}

/// Brings the times of use up to date, and forgets images that are gone.
pub fn note_use(
    last: &mut LastUse,
    stock: &Stock,
    needed: &BTreeSet<String>,
    settings: &CollectSettings,
    now: Timestamp,
) {
    let ours = |image: &&HeldImage| service(image, settings).is_some();
    let ours: Vec<&HeldImage> = stock.images.iter().filter(ours).collect();
    let ids: BTreeSet<&str> = ours.iter().map(|image| image.id.as_str()).collect();
    last.retain(|id, _| ids.contains(id.as_str()));
    for image in ours {
        let at = last.entry(image.id.clone()).or_insert(now);
        let in_use = is_among(image, &stock.used) || is_among(image, needed);
        // A clock that was set back must not make an image young for ever.
        *at = if in_use { now } else { (*at).min(now) };
    }
}

/// Every image of ours with what becomes of it, the longest unused first. `needed` are images
/// that replicas need and those being fetched.
pub fn judge(
    stock: &Stock,
    needed: &BTreeSet<String>,
    last: &LastUse,
    settings: &CollectSettings,
    now: Timestamp,
) -> Vec<Judged> {
    let mut ours: Vec<(Timestamp, &HeldImage, &str)> = stock
        .images
        .iter()
        .filter_map(|image| {
            let last_used = last.get(&image.id).copied().unwrap_or(now);
            Some((last_used, image, service(image, settings)?))
        })
        .collect();
    ours.sort_by_key(|(at, image, _)| (*at, image.created_at, &image.id));
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, service) in &ours {
        *left.entry(service).or_default() += 1;
    }
    let mut total: u64 = ours.iter().map(|(_, image, _)| image.bytes).sum();
    let judged = ours.into_iter().map(|(last_used, image, service)| {
        let left = left.entry(service).or_default();
        let fate = if is_among(image, &stock.used) {
            Fate::InUse
        } else if is_among(image, needed) {
            Fate::Needed
        } else if !only_ours(image, settings) {
            Fate::Shared
        } else if now.since_ms(last_used) < settings.min_age_ms {
            Fate::Recent
        } else if *left <= settings.keep_per_service {
            Fate::Kept
        } else if total <= settings.budget_bytes {
            Fate::Fits
        } else {
            total = total.saturating_sub(image.bytes);
            *left -= 1;
            Fate::Goes
        };
        let names = match image.names.is_empty() {
            true => vec![image.id.clone()],
            false => image.names.clone(),
        };
        Judged {
            names,
            bytes: image.bytes,
            last_used,
            fate,
        }
    });
    judged.collect()
}

fn is_among(image: &HeldImage, names: &BTreeSet<String>) -> bool {
    let mut known = image.names.iter().chain(&image.digests);
    names.contains(&image.id) || known.any(|name| names.contains(name))
}

/// The service whose image this is; none of another registry or another kind.
fn service<'a>(image: &'a HeldImage, settings: &CollectSettings) -> Option<&'a str> {
    let mut names = image.names.iter().chain(&image.digests);
    names.find_map(|name| of_service(name, settings))
}

fn only_ours(image: &HeldImage, settings: &CollectSettings) -> bool {
    let mut names = image.names.iter().chain(&image.digests);
    names.all(|name| of_service(name, settings).is_some())
}

fn of_service<'a>(name: &'a str, settings: &CollectSettings) -> Option<&'a str> {
    let image = ImageName::new(name).ok()?;
    image.tag().or(image.digest())?;
    let repository = &name[..image.repository().len()];
    let last = repository
        .rsplit_once('/')
        .map_or(repository, |(_, last)| last);
    let service = last.strip_prefix(SERVICES)?;
    let ours = Registry::new(&settings.registry).and_then(|registry| registry.image(last));
    let same = ours.is_ok_and(|ours| ours.canonical() == image.canonical());
    (same && !service.is_empty()).then_some(service)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn settings(budget_bytes: u64) -> CollectSettings {
        CollectSettings {
            registry: "reg:5000".to_owned(),
            budget_bytes,
            min_age_ms: 1_000,
            keep_per_service: 1,
        }
    }

    fn image(number: u64, names: &[&str]) -> HeldImage {
        HeldImage {
            id: format!("sha256:{number:04}"),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            digests: Vec::new(),
            bytes: 100,
            created_at: Timestamp(number),
        }
    }

    /// Image number `n` was last in use `n` hours into the test.
    fn aged(images: &[HeldImage]) -> LastUse {
        let at = |at: usize| Timestamp(3_600_000 * u64::try_from(at).unwrap());
        let images = images.iter().enumerate();
        images.map(|(n, image)| (image.id.clone(), at(n))).collect()
    }

    fn names(judged: &[Judged], fate: Fate) -> Vec<&str> {
        let found = judged.iter().filter(|one| one.fate == fate);
        found
            .flat_map(|one| &one.names)
            .map(String::as_str)
            .collect()
    }

    #[test]
    fn the_longest_unused_go_first_until_the_rest_fits() {
        let images = vec![
            image(1, &["reg:5000/services-a:1"]),
            image(2, &["reg:5000/services-a:2"]),
            image(3, &["reg:5000/services-a:3"]),
            image(4, &["reg:5000/services-a:4"]),
            image(5, &["reg:5000/services-b:1"]),
            image(6, &["reg:5000/other-a:1", "reg:50001/services-a:1"]),
            image(7, &["reg:5000/services-a:5", "mine:latest"]),
        ];
        let last = aged(&images);
        let used = BTreeSet::from(["sha256:0001".to_owned()]);
        let stock = Stock { images, used };
        let none = BTreeSet::new();
        let judged = judge(&stock, &none, &last, &settings(350), NOW);
        assert_eq!(names(&judged, Fate::InUse), ["reg:5000/services-a:1"]);
        assert_eq!(
            names(&judged, Fate::Goes),
            [
                "reg:5000/services-a:2",
                "reg:5000/services-a:3",
                "reg:5000/services-a:4"
            ]
        );
        assert_eq!(names(&judged, Fate::Kept), ["reg:5000/services-b:1"]);
        assert_eq!(
            names(&judged, Fate::Shared),
            ["reg:5000/services-a:5", "mine:latest"]
        );
        assert_eq!(judged.len(), 6, "strangers' images are not even looked at");
        let needed = BTreeSet::from(["reg:5000/services-a:2".to_owned()]);
        let judged = judge(&stock, &needed, &last, &settings(350), NOW);
        assert_eq!(names(&judged, Fate::Needed), ["reg:5000/services-a:2"]);
        let roomy = judge(&stock, &none, &last, &settings(600), NOW);
        assert_eq!(names(&roomy, Fate::Goes), Vec::<&str>::new());
    }

    #[test]
    fn what_was_in_use_lately_stays_and_untagged_ones_go_by_id() {
        let mut untagged = image(1, &[]);
        untagged.digests = vec![format!("reg:5000/services-a@sha256:{}", "ff".repeat(32))];
        let stock = Stock {
            images: vec![untagged, image(2, &["reg:5000/services-a:2"])],
            used: BTreeSet::from(["reg:5000/services-a:2".to_owned()]),
        };
        let (none, settings) = (BTreeSet::new(), settings(0));
        let mut last = LastUse::from([("gone".to_owned(), NOW)]);
        note_use(&mut last, &stock, &none, &settings, NOW);
        assert_eq!(last.len(), 2);
        let young = judge(&stock, &none, &last, &settings, NOW);
        assert_eq!(names(&young, Fate::Recent), ["sha256:0001"]);
        let later = NOW.after_ms(1_000);
        note_use(&mut last, &stock, &none, &settings, later);
        let judged = judge(&stock, &none, &last, &settings, later);
        assert_eq!(names(&judged, Fate::Goes), ["sha256:0001"]);
        assert_eq!(last["sha256:0002"], later);
        // A clock that was set back.
        note_use(&mut last, &stock, &none, &settings, Timestamp(5));
        assert!(last.values().all(|at| *at == Timestamp(5)));
    }

    proptest! {
        #[test]
        fn nothing_used_needed_or_strange_ever_goes_and_a_second_look_takes_nothing(
            kinds in prop::collection::vec((0u8..4, 0u8..4, 0u64..50), 0..30),
            budget in 0u64..3_000,
        ) {
            let image_of = |(number, (kind, service, _)): (usize, &(u8, u8, u64))| {
                let number = u64::try_from(number).unwrap();
                let name = match kind {
                    0 => format!("elsewhere/services-{service}:{number}"),
                    _ => format!("reg:5000/services-{service}:{number}"),
                };
                image(number, &[&name])
            };
            let images: Vec<HeldImage> = kinds.iter().enumerate().map(image_of).collect();
            let of_kind = |kind: u8| -> BTreeSet<String> {
                let all = kinds.iter().zip(&images);
                all.filter(|((k, _, _), _)| *k == kind)
                    .map(|(_, image)| image.names[0].clone())
                    .collect()
            };
            let (used, needed) = (of_kind(1), of_kind(2));
            let last = images.iter().zip(&kinds).map(|(image, (_, _, at))| {
                (image.id.clone(), Timestamp(*at))
            });
            let last: LastUse = last.collect();
            let mut stock = Stock { images, used };
            let settings = settings(budget);
            let judged = judge(&stock, &needed, &last, &settings, NOW);
            let gone: BTreeSet<&str> = names(&judged, Fate::Goes).into_iter().collect();
            for image in &stock.images {
                let name = image.names[0].as_str();
                let stays = stock.used.contains(name)
                    || needed.contains(name)
                    || !name.starts_with("reg:5000/services-");
                prop_assert!(!stays || !gone.contains(name), "{name}");
            }
            let gone: BTreeSet<String> = gone.into_iter().map(str::to_owned).collect();
            stock.images.retain(|image| !gone.contains(&image.names[0]));
            let again = judge(&stock, &needed, &last, &settings, NOW);
            prop_assert!(names(&again, Fate::Goes).is_empty());
        }
    }
}
