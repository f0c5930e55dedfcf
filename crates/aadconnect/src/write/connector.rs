//! Connectors as files: what an export says of them, and places for what it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::toml;
use crate::{Connector, ConnectorKind, Domain, Export, Report, Topic};

/// A connector of ours, made of one of theirs.
pub(super) struct Made {
    /// Its name.
    pub(super) name: String,
    /// Its file.
    pub(super) text: String,
}

/// What the files of connectors rest on.
pub(super) struct Needs<'a> {
    /// Parameters that rules name.
    pub(super) parameters: &'a BTreeSet<String>,
    /// Attributes that rules of this connector name and our schema does not have, with their types.
    pub(super) more: &'a BTreeMap<String, String>,
    /// Object types that can be read here, by the export's selection and our schema.
    pub(super) object_types: &'a [String],
    /// Attributes that are selected, known here, and read by no rule.
    pub(super) attributes: &'a [String],
}

/// A forest: one connector for each domain that is read.
pub(super) fn active_directory(
    connector: &Connector,
    rank: &mut u32,
    export: &Export,
    needs: &Needs<'_>,
    report: &mut Report,
) -> Vec<Made> {
    let nameless = Domain { selected: true, ..Domain::default() };
    let mut domains: Vec<&Domain> =
        connector.domains.iter().filter(|d| d.selected && !reads_nothing(d)).collect();
    for domain in connector.domains.iter().filter(|d| d.selected && reads_nothing(d)) {
        report.add(
            Topic::Note,
            &connector.name,
            format!(
                "the domain {} is selected, but its base is excluded and no container is included: it is not read",
                domain.dn
            ),
        );
    }
    for domain in connector.domains.iter().filter(|d| !d.selected) {
        report.add(
            Topic::Note,
            &connector.name,
            format!("the domain {} is not selected, and not read", domain.dn),
        );
    }
    // Scripts say nothing of domains. Where those that are known are not read, nothing is.
    if connector.domains.is_empty() {
        domains.push(&nameless);
    }
    if domains.len() > 1 {
        report.add(
            Topic::Changed,
            &connector.name,
            format!(
                "a connector here reads one domain: its {} domains are {0} connectors with the same rules",
                domains.len()
            ),
        );
    }
    let single = domains.len() == 1;
    let mut out = Vec::new();
    for domain in domains {
        let fqdn = dns_name(&domain.dn);
        let name = match (single, fqdn.is_empty()) {
            (true, _) | (false, true) => connector.name.clone(),
            (false, false) => fqdn.clone(),
        };
        out.push(Made { text: domain_file(connector, domain, &name, *rank, export, needs, report), name });
        *rank += 1;
    }
    out
}

fn domain_file(
    connector: &Connector,
    domain: &Domain,
    name: &str,
    rank: u32,
    export: &Export,
    needs: &Needs<'_>,
    report: &mut Report,
) -> String {
    let mut out = head(connector, name, "ad", rank);
    if !needs.attributes.is_empty() {
        _ = writeln!(out, "attributes = {}", toml::list(needs.attributes));
    }
    let fqdn = dns_name(&domain.dn);
    let secret = secret_name(name);
    let known = ad_parameters(connector, domain, export, needs);
    ask_for_parameters(&known, name, needs, report);
    parameters(&mut out, &known);
    profiles(&mut out, connector, false, report);
    out.push_str("\n[settings]\n");
    let server = match (&domain.last_server, fqdn.as_str()) {
        (Some(server), _) => server.to_lowercase(),
        (None, "") if is_dns_name(name) => format!("dc.{}", name.to_lowercase()),
        (None, "") => "dc.example.com".to_owned(),
        (None, fqdn) => fqdn.to_owned(),
    };
    _ = writeln!(out, "url = {}", toml::text(&format!("ldaps://{server}")));
    match &domain.last_server {
        Some(server) => report.add(
            Topic::ToDo,
            name,
            format!("look at `url`: {server} is the domain controller that was read last; LDAPS needs a certificate there"),
        ),
        None => report.add(
            Topic::ToDo,
            name,
            format!("write the domain controller into `url`: ldaps://{server} is made up"),
        ),
    }
    let account = connector.account.clone().unwrap_or_else(|| "sync@example.com".to_owned());
    _ = writeln!(out, "bind = {}", toml::text(&account));
    _ = writeln!(out, "password = {} # onesync secret set {secret}", toml::text(&secret));
    let made_up = connector.account.is_none();
    report.add(
        Topic::ToDo,
        name,
        if made_up {
            format!("write the account into `bind` ({account} is made up), and set its password: onesync secret set {secret}")
        } else {
            format!(
                "set the password of {account}: onesync secret set {secret}; an account of its own is better, that one belongs to the old installation"
            )
        },
    );
    report.secrets.push(secret);
    if !domain.dn.is_empty() {
        _ = writeln!(out, "base = {}", toml::text(&domain.dn));
    }
    let (include, exclude) = containers(domain);
    for (key, list) in [("include", &include), ("exclude", &exclude)] {
        if !list.is_empty() {
            _ = writeln!(out, "{key} = {}", toml::list(list));
        }
    }
    if !needs.object_types.is_empty() {
        _ = writeln!(out, "object_types = {}", toml::list(needs.object_types));
    }
    table(&mut out, "[settings.schema]", needs.more);
    out
}

/// The tenant.
pub(super) fn cloud(
    connector: &Connector,
    rank: u32,
    export: &Export,
    needs: &Needs<'_>,
    extensions: &[String],
    report: &mut Report,
) -> Made {
    let name = connector.name.clone();
    let mut out = head(connector, &name, "graph", rank);
    let secret = secret_name(&name);
    parameters(&mut out, &global_parameters(connector, export, needs));
    profiles(&mut out, connector, true, report);
    out.push_str("\n[settings]\n");
    let tenant = name.split([' ', ',']).next().filter(|word| is_dns_name(word)).map(str::to_owned);
    let made_up = tenant.is_none();
    let tenant = tenant.unwrap_or_else(|| "contoso.onmicrosoft.com".to_owned());
    _ = writeln!(out, "tenant = {}", toml::text(&tenant));
    out.push_str("client_id = \"00000000-0000-0000-0000-000000000000\" # the app registration's\n");
    _ = writeln!(out, "secret = {} # onesync secret set {secret}", toml::text(&secret));
    out.push_str(
        "names = \"entra-connect\" # the rules name attributes and object types as Azure AD Connect does\n",
    );
    if !extensions.is_empty() {
        _ = writeln!(out, "extension_attributes = {}", toml::list(extensions));
    }
    let tenant_text = if made_up { "write the tenant into `tenant`, make" } else { "make" };
    report.add(
        Topic::ToDo,
        &name,
        format!(
            "{tenant_text} an app registration (docs/graph.md), write its id into `client_id`, and set its secret: onesync secret set {secret}"
        ),
    );
    report.secrets.push(secret);
    if let Some(user) = &connector.account {
        report.add(
            Topic::NotCarried,
            &name,
            format!("the account {user}: Graph is asked by an app registration instead"),
        );
    }
    table(&mut out, "[settings.computed]", needs.more);
    limits(&mut out, export, report, &name);
    Made { name, text: out }
}

/// The threshold of deletions: the original's count, and our share beside it.
fn limits(out: &mut String, export: &Export, report: &mut Report, name: &str) {
    let parameter = |name: &str| export.parameters.get(name).map(|value| value.trim().to_owned());
    let on = parameter("Microsoft.OptionalFeature.ExportDeletionThreshold");
    let count = parameter("Microsoft.OptionalFeature.ExportDeletionThresholdValue");
    let Some(count) = count.and_then(|text| text.parse::<u64>().ok()).filter(|&count| count > 0) else {
        return;
    };
    if on.is_some_and(|on| on.eq_ignore_ascii_case("false")) {
        report.add(
            Topic::Note,
            name,
            "the deletion threshold was off; here limits are always on, and as by default",
        );
        return;
    }
    for object_type in ["user", "group"] {
        _ = write!(out, "\n[types.{object_type}.limits.day]\ncount = {count}\npercent = 10\nat_least = 10\n");
    }
    report.add(
        Topic::Changed,
        name,
        format!(
            "the deletion threshold of {count} is the limit of one run and of 24 hours; above 10 percent of all objects changes are held, too"
        ),
    );
}

fn head(connector: &Connector, name: &str, kind: &str, rank: u32) -> String {
    let mut out = format!("# Imported from Azure AD Connect, connector {{{}}}.\n", connector.id);
    _ = write!(out, "name = {}\nkind = \"{kind}\"\nrank = {rank}\n", toml::text(name));
    out
}

fn table(out: &mut String, head: &str, lines: &BTreeMap<String, String>) {
    if lines.is_empty() {
        return;
    }
    _ = writeln!(out, "\n{head}");
    for (key, value) in lines {
        _ = writeln!(out, "{} = {}", toml::key(key), toml::text(value));
    }
}

fn parameters(out: &mut String, parameters: &BTreeMap<String, String>) {
    table(out, "[parameters]", parameters);
}

fn global_parameters(connector: &Connector, export: &Export, needs: &Needs<'_>) -> BTreeMap<String, String> {
    let named = |name: &str| needs.parameters.contains(&name.to_lowercase());
    let all = export.parameters.iter().chain(&connector.parameters);
    all.filter(|(name, _)| named(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The parameters of a domain that rules may name. What every object's name says is read off there.
fn ad_parameters(
    connector: &Connector,
    domain: &Domain,
    export: &Export,
    needs: &Needs<'_>,
) -> BTreeMap<String, String> {
    let mut out = global_parameters(connector, export, needs);
    for (name, value) in connector.parameters.iter().chain(&domain.parameters) {
        let wanted = name.starts_with("Forest.") || name.eq_ignore_ascii_case("Domain.Netbios");
        if wanted && !value.is_empty() {
            out.insert(name.clone(), value.clone());
        }
    }
    out
}

/// Parameters of a forest that nothing but its configuration tells.
const OF_A_FOREST: [&str; 4] = ["Domain.Netbios", "Forest.FQDN", "Forest.LDAP", "Forest.Netbios"];

/// Scripts have no parameters: what rules name and nobody said would be absent.
fn ask_for_parameters(known: &BTreeMap<String, String>, name: &str, needs: &Needs<'_>, report: &mut Report) {
    let missing: Vec<&str> = OF_A_FOREST
        .into_iter()
        .filter(|parameter| needs.parameters.contains(&parameter.to_lowercase()))
        .filter(|parameter| !known.keys().any(|key| key.eq_ignore_ascii_case(parameter)))
        .collect();
    if !missing.is_empty() {
        report.add(
            Topic::ToDo,
            name,
            format!(
                "the rules name parameters of which the export has no values: write them below [parameters], or what they flow to is absent: {}",
                missing.join(", ")
            ),
        );
    }
}

fn profiles(out: &mut String, connector: &Connector, writes: bool, report: &mut Report) {
    let mut lines = String::new();
    for profile in &connector.profiles {
        let mut steps: Vec<&str> = Vec::new();
        for step in &profile.steps {
            match step {
                Ok("export") if !writes => {
                    report.add(
                        Topic::NotCarried,
                        format!("{}, run profile `{}`", connector.name, profile.name),
                        "its step Export: Active Directory is only read, what would be written there is computed and shown",
                    );
                }
                Ok(step) => steps.push(step),
                Err(word) => report.add(
                    Topic::NotCarried,
                    format!("{}, run profile `{}`", connector.name, profile.name),
                    format!("its step `{word}` has no counterpart"),
                ),
            }
        }
        if !steps.is_empty() && !profile.name.trim().is_empty() {
            _ = writeln!(lines, "{} = {}", toml::key(&profile.name), toml::list(&steps));
        }
    }
    if !lines.is_empty() {
        _ = write!(out, "\n[profiles]\n{lines}");
    }
}

/// Whether the base is excluded and nothing below it is included: written as two empty lists, all would be read.
fn reads_nothing(domain: &Domain) -> bool {
    let is_base = |dn: &String| dn.eq_ignore_ascii_case(&domain.dn);
    domain.exclusions.iter().any(is_base) && domain.inclusions.is_empty()
}

/// The containers to read and to leave out: an excluded base with included containers is just these.
fn containers(domain: &Domain) -> (Vec<String>, Vec<String>) {
    let is_base = |dn: &String| dn.eq_ignore_ascii_case(&domain.dn);
    let exclude: Vec<String> = domain.exclusions.iter().filter(|dn| !is_base(dn)).cloned().collect();
    let only_base = domain.inclusions.iter().all(is_base);
    let include = if only_base { Vec::new() } else { domain.inclusions.clone() };
    (include, exclude)
}

/// `DC=contoso,DC=com` as `contoso.com`.
fn dns_name(dn: &str) -> String {
    let labels = dn.split(',').filter_map(|part| {
        let (attribute, value) = part.trim().split_once('=')?;
        attribute.trim().eq_ignore_ascii_case("DC").then(|| value.trim().to_lowercase())
    });
    labels.collect::<Vec<_>>().join(".")
}

fn is_dns_name(text: &str) -> bool {
    text.contains('.')
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

/// The name under which a connector's secret is stored.
fn secret_name(connector: &str) -> String {
    format!("{}-secret", super::names::slug(connector))
}

/// What kinds of connectors we do not have.
pub(super) fn other(connector: &Connector, report: &mut Report) {
    if let ConnectorKind::Other(kind) = &connector.kind {
        report.add(
            Topic::NotCarried,
            format!("connector {}", connector.name),
            format!("there is no connector for `{kind}`; its rules are in the folder not-carried"),
        );
    }
}
