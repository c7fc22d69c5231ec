//! The help lines as clients see them.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chrono::{NaiveDate, Utc};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::resources::{Registry, Resource};

/// The help lines, and for how long their verification holds.
pub struct Resources {
    /// All help lines.
    pub registry: Arc<Registry>,
    max_age_days: u32,
    listing: Mutex<Arc<Listing>>,
}

/// What does not change for a day: no request makes JSON of a help line.
pub(in crate::api) struct Listing {
    day: NaiveDate,
    /// The same for every selection: it is compared only between responses of one URL.
    pub(super) etag: String,
    /// By the names of help lines.
    documents: HashMap<String, Box<RawValue>>,
}

/// A help line as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = HelpLine, example = json!(example()))]
pub(in crate::api) struct ResourceDocument<'a> {
    #[serde(flatten)]
    resource: &'a Resource,
    /// Whether a person verified it in the last `RESOURCES_MAX_AGE` days. Show others with a note that nobody has.
    verified: bool,
}

/// The first embedded help line, so that the description has no number of its own.
fn example() -> serde_json::Value {
    let registry = Registry::load(None).expect("the embedded help lines are valid");
    let resource = registry.resources.first().expect("there is one for emergencies");
    serde_json::to_value(ResourceDocument { resource, verified: false }).expect("our own types are JSON")
}

impl Resources {
    /// The help lines; a verification holds for so many days.
    #[must_use]
    pub fn new(registry: Arc<Registry>, max_age_days: u32) -> Resources {
        let listing = Mutex::new(Arc::new(Listing::new(&registry, max_age_days, today())));
        Resources { registry, max_age_days, listing }
    }

    /// Whether a person verified a help line lately.
    pub(in crate::api) fn is_verified(&self, resource: &Resource) -> bool {
        resource.is_verified(self.max_age_days, today())
    }

    /// The listing of today.
    pub(in crate::api) fn listing(&self) -> Arc<Listing> {
        let (today, mut listing) = (today(), self.listing.lock());
        if listing.day != today {
            *listing = Arc::new(Listing::new(&self.registry, self.max_age_days, today));
        }
        listing.clone()
    }
}

impl Listing {
    fn new(registry: &Registry, max_age_days: u32, day: NaiveDate) -> Listing {
        let (mut documents, mut hasher) = (HashMap::new(), DefaultHasher::new());
        (env!("CARGO_PKG_VERSION"), &registry.country, &registry.topics).hash(&mut hasher);
        for resource in &registry.resources {
            let document = ResourceDocument { resource, verified: resource.is_verified(max_age_days, day) };
            let document = serde_json::value::to_raw_value(&document).expect("our own types are JSON");
            document.get().hash(&mut hasher);
            documents.insert(resource.id.clone(), document);
        }
        Listing { day, etag: format!("\"{:016x}\"", hasher.finish()), documents }
    }

    /// The help lines as clients see them: the JSON of a [`ResourceDocument`] each.
    pub(in crate::api) fn documents(&self, selected: &[&Resource]) -> Vec<&RawValue> {
        selected.iter().filter_map(|resource| self.documents.get(&resource.id)).map(|document| &**document).collect()
    }
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_of_another_day_is_made_again() {
        let verified = NaiveDate::from_ymd_opt(2020, 1, 31).expect("a day");
        let mut registry = Registry::load(None).expect("the embedded help lines are valid");
        registry.resources[0].verified_at = Some(verified);
        let resources = Resources::new(Arc::new(registry), 180);
        let is_verified = |listing: &Listing| {
            let documents = listing.documents(&[&resources.registry.resources[0]]);
            documents[0].get().ends_with("\"verified\":true}")
        };
        let old = Arc::new(Listing::new(&resources.registry, 180, verified));
        *resources.listing.lock() = old.clone();
        let new = resources.listing();
        assert_eq!((is_verified(&old), is_verified(&new)), (true, false));
        assert_ne!(old.etag, new.etag);
        assert!(Arc::ptr_eq(&new, &resources.listing()), "it is made once a day");
    }
}
