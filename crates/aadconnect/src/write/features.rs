//! Global parameters: what they switched on and what becomes of it here.

use std::collections::BTreeSet;

use crate::{Export, Report, Topic};

/// Features by their parameter, with what becomes of them.
const FEATURES: &[(&str, Topic, &str)] = &[
    (
        "PasswordHashSync",
        Topic::NotCarried,
        "password hashes are not synchronised: passwords in the cloud stay as they are when the old synchronisation ends",
    ),
    ("PasswordWriteback", Topic::NotCarried, "passwords are not written back"),
    ("DeviceWriteBack", Topic::NotCarried, "devices are not written back"),
    ("GroupWriteBack", Topic::NotCarried, "groups are not written back"),
    ("UserWriteBack", Topic::NotCarried, "users are not written back"),
    (
        "HybridExchange",
        Topic::NotCarried,
        "what Exchange hybrid writes back is computed and shown; Active Directory is only read",
    ),
    ("DeviceWriteUp", Topic::NotCarried, "devices are computed and shown, and not written"),
    ("DirectoryExtension", Topic::Note, "directory extensions are carried where rules flow them"),
    ("FilterAAD", Topic::Note, "the filter by app is what rules there are: it is carried by them"),
    (
        "GroupFiltering",
        Topic::NotCarried,
        "synchronising only the members of one group: [pilot] of the cloud connector has the same effect",
    ),
];

/// Parameters that say nothing a configuration needs.
const SILENT: [&str; 14] = [
    "Microsoft.OptionalFeature.AutoUpgradeState",
    "Microsoft.OptionalFeature.ExportDeletionThreshold",
    "Microsoft.OptionalFeature.ExportDeletionThresholdValue",
    "Microsoft.OptionalFeature.DirectoryExtensionAttributes",
    "Microsoft.SynchronizationOption.AnchorAttribute",
    "Microsoft.SynchronizationOption.UPNAttribute",
    "Microsoft.SynchronizationOption.JoinCriteria",
    "Microsoft.SynchronizationOption.CustomAttribute",
    "Microsoft.Synchronize.NextStartTime",
    "Microsoft.Synchronize.MaintenanceEnabled",
    "Microsoft.Synchronize.ServerConfigurationVersion",
    "Microsoft.Synchronize.SynchronizationPolicy",
    "Microsoft.Synchronize.SynchronizationSchedule",
    "Microsoft.Version.SynchronizationRuleImmutableTag",
];

/// Says what becomes of each parameter.
pub(super) fn report(export: &Export, named: &BTreeSet<String>, report: &mut Report) {
    for (name, value) in &export.parameters {
        let value = value.trim();
        let short = name.strip_prefix("Microsoft.OptionalFeature.");
        let feature = short.and_then(|short| FEATURES.iter().find(|(known, ..)| *known == short));
        let subject = || format!("parameter {name}");
        if let Some((_, topic, text)) = feature {
            if value.eq_ignore_ascii_case("true") {
                report.add(*topic, subject(), *text);
            }
            continue;
        }
        match name.as_str() {
            "Microsoft.Synchronize.TimeInterval" if !value.is_empty() => report.add(
                Topic::ToDo,
                subject(),
                format!("cycles ran every {value}: start `onesync cycle` by a timer of the system"),
            ),
            "Microsoft.Synchronize.RunHistoryPurgeInterval" if !value.is_empty() => {
                report.add(
                    Topic::NotCarried,
                    subject(),
                    format!("run history was kept {value}; here it is kept"),
                );
            }
            "Microsoft.Synchronize.StagingMode" if value.eq_ignore_ascii_case("true") => report.add(
                Topic::Note,
                subject(),
                "it was a staging server; here every target begins in staging",
            ),
            "Microsoft.Synchronize.SchedulerSuspended" if value.eq_ignore_ascii_case("true") => {
                report.add(Topic::Note, subject(), "the scheduler was suspended");
            }
            _ if value.is_empty()
                || value.eq_ignore_ascii_case("false")
                || SILENT.contains(&name.as_str()) => {}
            _ if named.contains(&name.to_lowercase()) => {}
            _ => report.add(
                Topic::NotCarried,
                subject(),
                format!("`{value}`: no rule names it, and nothing here is like it"),
            ),
        }
    }
    for connector in &export.connectors {
        if connector.password_sync {
            report.add(
                Topic::NotCarried,
                format!("connector {}", connector.name),
                "password hashes are not synchronised",
            );
        }
        let filter = connector.parameters.get("Connector.GroupFilteringGroupDn");
        if let Some(group) = filter.filter(|dn| !dn.is_empty()) {
            report.add(
                Topic::NotCarried,
                format!("connector {}", connector.name),
                format!("only members of {group} were synchronised: name the group under [pilot] of the cloud connector"),
            );
        }
    }
}
