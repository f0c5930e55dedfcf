//! What the rules cost for one object: those of an exported configuration of Azure AD Connect over a full user, by the
//! engine's own functions.
//!
//! The user is imported and synchronised once by the service, so that the rows are those of a sync that finds nothing
//! changed: the common case. Then only the rules are evaluated, again and again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use onesync_engine::alone::{Joined, Said, Until, evaluate, settled};
use onesync_engine::{ContainerNames, Context, CsFlags, MvRow};
use onesync_graphsim::{DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET, DEFAULT_TENANT_ID, GraphSim};
use onesync_model::{AttrId, CsId, MvId, RunId};
use onesync_service::{
    Clock as _, Configuration, Home, Runtime, Service, Step, SystemClock, import_aadconnect, template,
};
use onesync_store::{SqliteStore, Store as _};
use serde::{Deserialize, Serialize};

/// How long each figure is measured, at least.
const TIME_MIN: Duration = Duration::from_millis(1_000);
/// Evaluations between two looks at the clock.
const ROUND: u32 = 20;
/// Of so many measurements the best counts: others are at work on the machine, and short ones can be undisturbed.
const TRIES: usize = 50;
/// Where the real export lies beside the repository.
const EXPORT: &str = "../shared/data/aadconnect-production";
/// The account of the user that is measured.
const ACCOUNT: &str = "anna";

/// What was measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RulesMeasured {
    /// The export, or that the shipped rules stood in.
    pub configuration: String,
    /// Rules of the configuration, for all types.
    pub rules: usize,
    /// Rules whose scope was looked at for this user.
    pub scopes: usize,
    /// Rules in scope.
    pub in_scope: usize,
    /// Their flows.
    pub flows: usize,
    /// Attributes of the metaverse object, and attributes that flow on.
    pub attributes: [usize; 2],
    /// Microseconds an object and core.
    pub microseconds: f64,
    /// The same, in parts: inbound scopes, inbound flows, outbound scopes, outbound flows.
    pub parts: [f64; 4],
    /// Objects in a second on 1, 2, ... cores.
    pub per_second: Vec<f64>,
}

/// Measures the rules of an export; without one, of the export beside the repository, or the shipped ones.
pub async fn measure(export: Option<&Path>) -> Result<RulesMeasured> {
    let folder = tempfile::Builder::new().prefix("onesync-bench-rules-").tempdir()?;
    let beside = PathBuf::from(EXPORT);
    let export = export.map(Path::to_owned).or_else(|| beside.is_dir().then_some(beside));
    let configuration = match &export {
        Some(export) => export.display().to_string(),
        None => format!("the shipped rules, since {EXPORT} is not there"),
    };
    let (service, source) = install(folder.path(), export.as_deref()).await?;
    let quiet = |_| ();
    service.run_step(&source, Step::FullImport, &quiet).await?;
    service.run_step(&source, Step::FullSync, &quiet).await?;
    let runtime = service.runtime()?;
    let mut object = Object::read(&service, &runtime, &source, folder.path())?;
    let ctx = Context {
        rules: &runtime.rules,
        policies: &runtime.policies,
        names: &runtime.names,
        now: SystemClock.now(),
        run: RunId(1),
        threads: 1,
        trace: None,
    };
    // The object in the cloud gives values of its own from now on: all that follows finds nothing changed.
    object.mv = settled(&ctx, &object.mv, &object.joined);
    let said = object.evaluate(&ctx, Until::End);
    ensure!(said.failed == 0 && said.wanted > 0, "the rules fail for the user: {said:?}");
    let mut until = [Until::Scopes, Until::Values, Until::Targets, Until::End]
        .map(|until| microseconds(1, || object.evaluate(&ctx, until)));
    let microseconds_all = until[3];
    for part in (1..until.len()).rev() {
        until[part] -= until[part - 1];
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let per_second = (1..=cores)
        .map(|threads| 1e6 / microseconds(threads, || object.evaluate(&ctx, Until::End)))
        .collect();
    Ok(RulesMeasured {
        configuration,
        rules: runtime.rules.rules().len(),
        scopes: said.scopes,
        in_scope: said.rules,
        flows: said.flows,
        attributes: [said.values, said.wanted],
        microseconds: microseconds_all,
        parts: until,
        per_second,
    })
}

impl RulesMeasured {
    /// For people.
    pub fn text(&self) -> String {
        let [scopes_in, flows_in, scopes_out, flows_out] = self.parts;
        let [values, wanted] = self.attributes;
        let mut out = format!(
            "rules of {}: {} rules, for one full user {} scopes, {} rules in scope, {} flows, {values} + {wanted} attributes\n\
             {:.1} microseconds an object and core (goal: at most {GOAL}): inbound scopes {scopes_in:.1}, inbound flows \
             {flows_in:.1}, outbound scopes {scopes_out:.1}, outbound flows {flows_out:.1}\n",
            self.configuration, self.rules, self.scopes, self.in_scope, self.flows, self.microseconds,
        );
        for (cores, rate) in (1..).zip(&self.per_second) {
            let _ = writeln!(out, "on {cores} at once: {rate:.0} objects/s");
        }
        out
    }
}

/// Microseconds an object may take on one core.
pub const GOAL: f64 = 25.0;

/// Microseconds until one of the threads has evaluated, by the best of several tries.
fn microseconds(threads: usize, evaluate: impl Fn() -> Said + Sync) -> f64 {
    let rate = || {
        let began = Instant::now();
        let mut rounds = 0_u64;
        while began.elapsed() < TIME_MIN / TRIES as u32 {
            for _ in 0..ROUND {
                black_box(evaluate());
            }
            rounds += 1;
        }
        (rounds * u64::from(ROUND)) as f64 / began.elapsed().as_secs_f64()
    };
    let total = || -> f64 {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(rate)).collect();
            workers.into_iter().map(|worker| worker.join().unwrap_or(0.0)).sum()
        })
    };
    1e6 / (0..TRIES).map(|_| total()).fold(0.0, f64::max)
}

/// One metaverse object with what is joined to it.
struct Object {
    mv: MvRow,
    joined: Vec<Joined>,
    links: BTreeMap<AttrId, u64>,
}

impl Object {
    fn read(service: &Service, runtime: &Runtime, source: &str, folder: &Path) -> Result<Self> {
        let store = SqliteStore::open(&home(folder).database())?;
        let reader = store.reader()?;
        let connector = runtime.connector(source)?.id;
        let account = runtime.names.find("sAMAccountName").context("no attribute sAMAccountName")?;
        let is_user = |row: &onesync_engine::CsRow| {
            let values = row.image.as_ref().get(account);
            values.is_some_and(|values| values.first() == Some(onesync_model::ValueRef::String(ACCOUNT)))
        };
        let page = reader.cs_page(connector, CsId(i64::MIN), ROUND as usize)?;
        let row = page.into_iter().find(is_user).context("the user was not imported")?;
        let refused = || format!("the user has no metaverse object: {:?}", service.errors(None, 10));
        let id: MvId = row.join.with_context(refused)?.mv;
        let mv = reader.mv_by_id(&[id])?.pop().context("the metaverse object is not there")?;
        let mut joined = Vec::new();
        for mut row in reader.cs_of_mv(&[id])? {
            let dn = ContainerNames::default().dn(&*reader, &row.name, row.container)?;
            // Seen in the cloud, as after the first export: a target's own rules are looked at, too.
            row.flags = row.flags.with(CsFlags::PROVISIONED, false);
            joined.push(Joined { row, dn });
        }
        ensure!(joined.len() > 1, "the user has no object in the cloud: {:?}", service.errors(None, 10)?);
        let mut links = BTreeMap::new();
        for pick in &mv.picks {
            links.insert(pick.attribute, reader.mv_link_count(id, pick.attribute)?);
        }
        Ok(Self { mv, joined, links })
    }

    fn evaluate(&self, ctx: &Context<'_>, until: Until) -> Said {
        let links = |attribute| self.links.get(&attribute).copied().unwrap_or(0);
        evaluate(ctx, &self.mv, &self.joined, &links, until)
    }
}

fn home(folder: &Path) -> Home {
    Home::new(folder.join("home"))
}

/// Applies a configuration whose directory is an LDIF file with the user; gives the name of that connector. The
/// simulator only says what the cloud can hold.
async fn install(folder: &Path, export: Option<&Path>) -> Result<(Service, String)> {
    let ldif = folder.join("directory.ldif");
    std::fs::write(&ldif, directory())?;
    let sim = GraphSim::builder().seed(7).keep_bodies(false).start().await?;
    let mut files = match export {
        Some(export) => import_aadconnect(export, &[]).await?.files,
        None => template("single-forest", "ldif")?,
    };
    files.retain(|path, _| {
        path.starts_with("rules/")
            || path.starts_with("connectors/")
            || !path.contains('/') && path.ends_with(".toml")
    });
    let mut source = String::new();
    for (_, text) in files.iter_mut().filter(|(path, _)| path.starts_with("connectors/")) {
        let mut table: toml::Table = text.parse()?;
        let is_cloud = table.get("kind").and_then(toml::Value::as_str) == Some("graph");
        let mut settings = toml::Table::new();
        if is_cloud {
            let names = table.get("settings").and_then(|settings| settings.get("names")).cloned();
            settings.extend(names.map(|names| ("names".to_owned(), names)));
            for (key, value) in [
                ("tenant", DEFAULT_TENANT_ID),
                ("client_id", DEFAULT_CLIENT_ID),
                ("secret", "graph"),
                ("graph_url", &sim.base_url()),
                ("login_url", &sim.base_url()),
            ] {
                settings.insert(key.to_owned(), value.into());
            }
        } else {
            source = table.get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
            table.insert("kind".to_owned(), "ldif".into());
            settings.insert("path".to_owned(), ldif.display().to_string().into());
        }
        table.insert("settings".to_owned(), settings.into());
        *text = table.to_string();
    }
    let home = home(folder);
    home.create(&SystemClock)?;
    let service = Service::open(home, Arc::new(SystemClock), 1).await?;
    service.set_secret("graph", DEFAULT_CLIENT_SECRET.as_bytes())?;
    let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
    service.apply(Configuration::parse(files)?, "bench").await?;
    let cloud =
        service.runtime()?.connectors.iter().find(|c| c.file.kind == "graph").map(|c| c.file.name.clone());
    service.run_step(&cloud.context("the configuration has no cloud")?, Step::FullImport, &|_| ()).await?;
    sim.shutdown().await?;
    Ok((service, source))
}

/// A user with all that a large company fills in, and a manager.
fn directory() -> String {
    // Base64 of bytes that need not mean anything: three bytes are four letters.
    let binary = |bytes: usize| "QUJD".repeat(bytes.div_ceil(3));
    let dn = |name: &str| format!("CN={name},OU=Sales,OU=People,DC=contoso,DC=com");
    let entry = |number: u32, account: &str, sid: &str| {
        format!(
            "dn: {}\nobjectClass: user\nobjectGUID: guid-{number:011}\n\
             objectSid:: AQUAAAAAAAUVAAAAAQAAAAIAAAADAAAA{sid}AA==\ncn: {account}\nsAMAccountName: {account}\n\
             userAccountControl: 512\n",
            dn(account)
        )
    };
    let mut out = format!("version: 1\n\n{}", entry(1, ACCOUNT, "6QMA"));
    for (attribute, value) in [
        ("userPrincipalName", "anna.arndt@contoso.com"),
        ("displayName", "Anna Arndt (Sales, Jena)"),
        ("givenName", "Anna"),
        ("sn", "Arndt"),
        ("initials", "AA"),
        ("mail", "anna.arndt@contoso.com"),
        ("mailNickname", "anna.arndt"),
        ("description", "Head of sales for the southern region, since 2019"),
        ("title", "Head of Sales"),
        ("company", "Contoso GmbH"),
        ("department", "Sales South"),
        ("l", "Jena"),
        ("st", "Thuringia"),
        ("co", "Germany"),
        ("c", "DE"),
        ("countryCode", "276"),
        ("telephoneNumber", "+49 3641 123456"),
        ("otherTelephone", "+49 3641 123457"),
        ("mobile", "+49 171 1234567"),
        ("homePhone", "+49 3641 765432"),
        ("pager", "+49 3641 111111"),
        ("ipPhone", "123456"),
        ("facsimileTelephoneNumber", "+49 3641 123499"),
        ("physicalDeliveryOfficeName", "J7-214"),
        ("streetAddress", "Main Road 17"),
        ("postalCode", "07743"),
        ("postOfficeBox", "1234"),
        ("info", "Works from Erfurt on Fridays"),
        ("wWWHomePage", "https://contoso.com/people/anna"),
        ("employeeID", "104711"),
        ("employeeNumber", "4711"),
        ("preferredLanguage", "de-DE"),
        ("pwdLastSet", "132000000000000000"),
        ("accountExpires", "9223372036854775807"),
        ("lockoutTime", "0"),
        ("legacyExchangeDN", "/o=Contoso/ou=Exchange Administrative Group/cn=Recipients/cn=anna.arndt"),
        ("msExchRecipientTypeDetails", "1"),
        ("msExchRecipientDisplayType", "1073741824"),
        ("msExchHideFromAddressLists", "FALSE"),
        ("msExchRemoteRecipientType", "1"),
        ("msExchUsageLocation", "DE"),
        ("msExchMailboxGuid", "0123456789abcdef"),
        ("msExchArchiveGUID", "fedcba9876543210"),
        ("targetAddress", "SMTP:anna.arndt@contoso.mail.onmicrosoft.com"),
        ("msRTCSIP-PrimaryUserAddress", "sip:anna.arndt@contoso.com"),
        ("msRTCSIP-UserEnabled", "TRUE"),
        ("manager", &dn("bert")),
        ("authOrig", &dn("bert")),
    ] {
        let _ = writeln!(out, "{attribute}: {value}");
    }
    for number in 1..=15 {
        let _ = writeln!(out, "extensionAttribute{number}: value {number} of the company");
    }
    for (prefix, address) in [
        ("SMTP", "anna.arndt@contoso.com"),
        ("smtp", "a.arndt@contoso.com"),
        ("smtp", "anna@contoso.com"),
        ("smtp", "anna.arndt@contoso.mail.onmicrosoft.com"),
        ("smtp", "anna.mueller@contoso.com"),
        ("sip", "anna.arndt@contoso.com"),
        ("X500", "/o=Contoso/ou=First Administrative Group/cn=Recipients/cn=anna"),
    ] {
        let _ = writeln!(out, "proxyAddresses: {prefix}:{address}");
    }
    for (attribute, bytes) in
        [("thumbnailPhoto", 9_000), ("userCertificate", 1_500), ("userSMIMECertificate", 1_500)]
    {
        let _ = writeln!(out, "{attribute}:: {}", binary(bytes));
    }
    format!("{out}\n{}", entry(2, "bert", "6gMA"))
}
