//! `COMPANION_EGRESS=local`: which hosts of a model are allowed.

use safespace::companion::{BuildError, EndpointError, Finish, Unavailable};
use safespace::config::ModelSettings;

use super::fixture::{LONG, ask, build_model, call, model_settings};
use crate::support::fake_model::FakeModel;

#[test]
fn with_local_egress_a_local_name_is_connected_to_and_a_public_host_is_refused_at_start() {
    let model = FakeModel::without_schema();
    let url = model.base_url().replace("127.0.0.1", "localhost");
    let local =
        model_settings(&[("OPENAI_BASE_URL", url.as_str()), ("COMPANION_MODEL", "m"), ("COMPANION_EGRESS", "local")]);
    let at = |host: &str| {
        build_model(ModelSettings { base_url: format!("http://{host}").parse().unwrap(), ..local.clone() })
    };
    assert_eq!(ask(&build_model(local.clone()).unwrap(), &call(LONG)).0, Ok(Finish::Complete));
    // The resolver of the system takes 134744072 for 8.8.8.8.
    for host in ["8.8.8.8", "134744072"] {
        assert!(matches!(at(host), Err(BuildError::Endpoint(EndpointError::PublicHost(_)))), "{host}");
    }
    // A name without an address may get one later.
    assert_eq!(ask(&at("nowhere.invalid").unwrap(), &call(LONG)).0, Err(Unavailable::NotReached));
}
