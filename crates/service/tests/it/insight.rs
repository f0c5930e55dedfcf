//! Seeing before doing: what `preview` says comes true, and `explain` names whatever stands in the way.

mod preview;
mod why;
mod why_not;

use onesync_service::{Explanation, Preview, PreviewTarget, Reason, TargetState};

use crate::world::World;

pub fn preview(world: &World, connector: &str, object: &str) -> Preview {
    let runtime = world.service.runtime().unwrap();
    world.service.preview(&runtime, runtime.connector(connector).unwrap(), object, None).unwrap()
}

fn explain(world: &World, object: &str, attribute: Option<&str>) -> Explanation {
    world.service.explain(&world.service.runtime().unwrap(), object, attribute).unwrap()
}

/// What is said of a target.
fn at<'p>(preview: &'p Preview, connector: &str) -> &'p PreviewTarget {
    preview.targets.iter().find(|target| target.connector == connector).unwrap()
}

fn state<'e>(explained: &'e Explanation, connector: &str) -> &'e TargetState {
    explained.targets.iter().find(|state| state.target.connector == connector).unwrap()
}

/// The texts of the reasons with a code.
fn reasons(reasons: &[Reason], code: &str) -> Vec<String> {
    let texts: Vec<String> =
        reasons.iter().filter(|reason| reason.code == code).map(|reason| reason.text.clone()).collect();
    assert!(!texts.is_empty(), "no `{code}` in {reasons:#?}");
    texts
}
