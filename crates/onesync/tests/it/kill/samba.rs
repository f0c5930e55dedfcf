//! The source is a real Active Directory: a Samba domain controller.

use bytes::Bytes;
use onesync_graphsim::GraphSim;
use onesync_ldap::control::TREE_DELETE;
use onesync_ldap::message::ModifyDnRequest;
use onesync_ldap::{Change, ChangeKind, Client, ConnectOptions, Control, Entry};

use super::story::{Act, Phases, Story, assert_all_hit, cloud_with_room, seeds};
use crate::program::{CLOUD_SECRET, Setup};

/// Seeds that are run with all other tests.
const SEEDS: u64 = 6;
/// People in the directory.
const PEOPLE: usize = 40;

/// An OU of our own.
struct Directory {
    client: Client,
    ou: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_the_end_state_is_the_undisturbed_one() {
    let Some(mut directory) = Directory::open().await else { return };
    let sim = GraphSim::builder().seed(8).judged().await.unwrap();
    let variable =
        |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./test"));
    let source = format!(
        "name = \"directory\"\nkind = \"ad\"\nrank = 1\n[settings]\nurl = \"{}\"\nca_file = \"{}\"\nbind = \"{}\"\npassword = \"ad\"\ninclude = [\"{}\"]\n",
        variable("AD_LDAPS_URL"),
        variable("AD_CA_FILE"),
        variable("AD_BIND_DN"),
        directory.ou
    );
    let setup = Setup::new("ad", &source, &cloud_with_room(&sim)).await;
    setup.secret("graph", CLOUD_SECRET).await;
    setup.secret("ad", &variable("AD_BIND_PASSWORD")).await;
    setup.apply().await.ends_with(0);

    let mut phases = Phases::new();
    let acts = [Act::Initial, Act::LeaveStaging, Act::Delta];
    let first = Story::tell(&sim, &setup.home(), setup.path(), &acts).await;
    let begun = sim.snapshot().unwrap();
    for seed in seeds(SEEDS).filter(|seed| seed % 2 == 0) {
        first.disturb(seed, None, &mut phases).await;
    }

    directory.work().await;
    sim.restore(begun).unwrap();
    let base = setup.path().join("base");
    std::fs::rename(first.told(), &base).unwrap();
    let changes = Story::tell(&sim, &base, setup.path(), &[Act::Delta]).await;
    changes.disturb_until_all_hit(SEEDS, &mut phases).await;
    directory.close().await;
    assert_all_hit("samba", &phases);
}

/// A connection to the domain controller as its administrator, and the name of an OU of our own. `None`, said aloud, where
/// there is no domain controller.
pub async fn bound(story: &str) -> Option<(Client, String)> {
    let Ok(url) = std::env::var("AD_LDAP_URL") else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "no Samba AD (AD_LDAP_URL): CI does not go on without it"
        );
        eprintln!("SKIPPED: {story}: no Samba AD (AD_LDAP_URL is not set; ./test starts one)");
        return None;
    };
    let variable = |name: &str| std::env::var(name).unwrap();
    let mut options = ConnectOptions::new(&url).unwrap();
    options.allow_plaintext_password = true;
    let mut client = Client::connect(&options).await.unwrap();
    client.simple_bind(&variable("AD_BIND_DN"), variable("AD_BIND_PASSWORD").as_bytes()).await.unwrap();
    Some((client, format!("OU={story}-{},{}", std::process::id(), variable("AD_BASE_DN"))))
}

impl Directory {
    /// Makes the OU with people and groups. `None`, said aloud, where there is no domain controller.
    async fn open() -> Option<Self> {
        let (client, ou) = bound("kill").await?;
        let mut directory = Self { client, ou };
        let ou = directory.ou.clone();
        directory.add(&ou, "organizationalUnit", &[]).await;
        for number in 0..PEOPLE {
            directory.hire(number).await;
        }
        for group in 0..4 {
            let name = format!("kill-group-{group}");
            let members: Vec<String> =
                (0..PEOPLE).filter(|n| n % (group + 1) == 0).map(|n| directory.person(n)).collect();
            let members: Vec<&str> = members.iter().map(String::as_str).collect();
            let dn = format!("CN={name},{ou}");
            let login = format!("{name}-{}", std::process::id());
            directory.add(&dn, "group", &[("sAMAccountName", &[&login]), ("member", &members)]).await;
        }
        Some(directory)
    }

    /// Not called when a test fails: then the OU is looked at.
    async fn close(mut self) {
        let control = Control { oid: TREE_DELETE.to_owned(), critical: true, value: None };
        self.client.delete(&self.ou, vec![control]).await.unwrap();
    }

    fn person(&self, number: usize) -> String {
        format!("CN=Person {number},{}", self.ou)
    }

    async fn hire(&mut self, number: usize) {
        let (dn, login) = (self.person(number), format!("kill{}-{number}", std::process::id()));
        let (upn, name) = (format!("{login}@contoso.com"), format!("Person {number}"));
        let manager = self.person(number / 10 * 10);
        let mut values: Vec<(&str, &[&str])> = Vec::new();
        let (login, upn, name, manager_value) = ([&*login], [&*upn], [&*name], [&*manager]);
        values.push(("sAMAccountName", &login));
        values.push(("userPrincipalName", &upn));
        values.push(("displayName", &name));
        values.push(("department", &["Sales"]));
        if !number.is_multiple_of(10) {
            values.push(("manager", &manager_value));
        }
        self.add(&dn, "user", &values).await;
    }

    /// Hires, renames, moves of attributes, leavers, memberships.
    async fn work(&mut self) {
        for number in PEOPLE..PEOPLE + 6 {
            self.hire(number).await;
            let member = self.person(number);
            self.modify("CN=kill-group-1", ChangeKind::Add, "member", &member).await;
        }
        for number in 1..6 {
            self.modify(&format!("CN=Person {number}"), ChangeKind::Replace, "department", "Purchasing")
                .await;
            self.modify(&format!("CN=Person {number}"), ChangeKind::Replace, "displayName", "Renamed").await;
        }
        for number in [11, 12] {
            let request = ModifyDnRequest {
                dn: self.person(number),
                new_rdn: format!("CN=Married {number}"),
                delete_old_rdn: true,
                new_superior: None,
            };
            self.client.modify_dn(request, Vec::new()).await.unwrap();
        }
        // Members of several groups: nobody tells that the groups lost them.
        for number in [21, 22, 23] {
            self.client.delete(&self.person(number), Vec::new()).await.unwrap();
        }
        for number in [4, 8] {
            let member = self.person(number);
            self.modify("CN=kill-group-3", ChangeKind::Delete, "member", &member).await;
        }
    }

    async fn add(&mut self, dn: &str, class: &str, values: &[(&str, &[&str])]) {
        let class = [class];
        let all = [("objectClass", &class[..])].into_iter().chain(values.iter().copied());
        self.client
            .add(Entry::build(dn, all), Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{dn}: {error}"));
    }

    async fn modify(&mut self, rdn: &str, kind: ChangeKind, attribute: &str, value: &str) {
        let change = Change {
            kind,
            attribute: attribute.to_owned(),
            values: vec![Bytes::copy_from_slice(value.as_bytes())],
        };
        let dn = format!("{rdn},{}", self.ou);
        self.client
            .modify(&dn, vec![change], Vec::new())
            .await
            .unwrap_or_else(|error| panic!("{dn}: {error}"));
    }
}
