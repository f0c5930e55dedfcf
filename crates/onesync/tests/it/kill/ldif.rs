//! The source is an LDIF file: no server is needed.

use std::path::Path;

use onesync_graphsim::GraphSim;
use onesync_testkit::generate::{Company, CompanyOptions};

use super::story::{Act, Phases, Story, assert_all_hit, cloud_with_room, seeds};
use crate::program::{CLOUD_SECRET, Setup, cloud};

/// The connector: its path is relative to the home, so that homes beside each other read one file.
pub const SOURCE: &str =
    "name = \"directory\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = \"../directory.ldif\"\n";
/// Seeds that are run with all other tests.
const SEEDS: u64 = 10;
/// People, groups and contacts.
const OBJECTS: usize = 90;

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_the_end_state_is_the_undisturbed_one() {
    let sim = GraphSim::builder().seed(7).judged().await.unwrap();
    let mut company = Company::new(CompanyOptions { seed: 3, objects: OBJECTS, ..CompanyOptions::default() });
    let setup = Setup::new("ldif", SOURCE, &cloud_with_room(&sim)).await;
    write(&company, &setup.path().join("directory.ldif"));
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);

    let mut phases = Phases::new();
    let acts = [Act::Initial, Act::LeaveStaging, Act::Delta];
    let first = Story::tell(&sim, &setup.home(), setup.path(), &acts).await;
    let begun = sim.snapshot().unwrap();
    for seed in seeds(SEEDS).filter(|seed| seed % 2 == 0) {
        first.disturb(seed, None, &mut phases).await;
    }

    work(&mut company);
    write(&company, &setup.path().join("directory.ldif"));
    sim.restore(begun).unwrap();
    let base = setup.path().join("base");
    std::fs::rename(first.told(), &base).unwrap();
    let changes = Story::tell(&sim, &base, setup.path(), &[Act::Delta]).await;
    changes.disturb_until_all_hit(SEEDS, &mut phases).await;
    assert_all_hit("ldif", &phases);
}

/// Some days at work: hires, marriages, moves, leavers, memberships.
fn work(company: &mut Company) {
    for n in 0..5 {
        company.hire();
        company.marry(3 + n * 7);
        company.move_to_department(11 + n * 5);
        company.add_member(1, 20 + n);
        company.remove_member(0, 40 + n);
    }
    for n in [30, 55, 70] {
        company.leave(n);
        company.disable(n + 1);
    }
}

/// A company of a hundred in an installation that has not worked yet.
pub async fn small(sim: &GraphSim) -> Setup {
    let company = Company::new(CompanyOptions { seed: 4, objects: 100, ..CompanyOptions::default() });
    let setup = Setup::new("ldif", SOURCE, &cloud(sim)).await;
    write(&company, &setup.path().join("directory.ldif"));
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup
}

fn write(company: &Company, path: &Path) {
    let mut bytes = Vec::new();
    company.write_ldif(&mut bytes).unwrap();
    std::fs::write(path, bytes).unwrap();
}
