//! Rules in the PowerShell form, for tests here and of the service.

use onesync_aadconnect::{FlowSource, Rule};

/// Prints a rule as the Synchronization Rules Editor does.
pub fn print(rule: &Rule) -> String {
    let q = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let (direction, source, target) = if rule.inbound {
        ("Inbound", &rule.object, &rule.metaverse)
    } else {
        ("Outbound", &rule.metaverse, &rule.object)
    };
    let mut out = format!(
        "New-ADSyncRule  `\n-Name {} `\n-Identifier {} `\n-Description {} `\n-Direction '{direction}' `\n-Precedence {} `\n\
         -PrecedenceAfter '00000000-0000-0000-0000-000000000000' `\n-PrecedenceBefore '00000000-0000-0000-0000-000000000000' `\n\
         -SourceObjectType {} `\n-TargetObjectType {} `\n-Connector '{}' `\n-LinkType '{:?}' `\n-SoftDeleteExpiryInterval 0 `\n\
         -ImmutableTag {} `\n",
        q(&rule.name),
        q(&rule.id),
        q(&rule.description),
        rule.precedence,
        q(source),
        q(target),
        rule.connector,
        rule.link,
        q(&rule.tag)
    );
    for (on, name) in [(rule.password_sync, "EnablePasswordSync"), (rule.disabled, "Disabled")] {
        if on {
            out.push_str(&format!("-{name} `\n"));
        }
    }
    out.push_str("-OutVariable syncRule\n\n");
    for flow in &rule.flows {
        let (kind, source, expression) = match &flow.source {
            FlowSource::Direct(name) => ("Direct", name.as_str(), None),
            FlowSource::Constant(text) => ("Constant", text.as_str(), None),
            FlowSource::Expression(text) => ("Expression", "", Some(text)),
        };
        out.push_str("\nAdd-ADSyncAttributeFlowMapping  `\n-SynchronizationRule $syncRule[0] `\n");
        if expression.is_none() {
            out.push_str(&format!("-Source @({}) `\n", q(source)));
        }
        out.push_str(&format!(
            "-Destination {} `\n-FlowType '{kind}' `\n-ValueMergeType '{:?}' `\n",
            q(&flow.target),
            flow.merge
        ));
        if let Some(text) = expression {
            out.push_str(&format!("-Expression {} `\n", q(text)));
        }
        if flow.once {
            out.push_str("-ExecuteOnce `\n");
        }
        out.push_str("-OutVariable syncRule\n\n");
    }
    let mut group = |kind: &str, items: Vec<String>| {
        for (index, arguments) in items.iter().enumerate() {
            out.push_str(&format!(
                "\nNew-Object  `\n-TypeName 'Microsoft.IdentityManagement.PowerShell.ObjectModel.{kind}Condition' `\n\
                 -ArgumentList {arguments} `\n-OutVariable condition{index}\n\n"
            ));
        }
        let list: Vec<String> = (0..items.len()).map(|n| format!("$condition{n}[0]")).collect();
        out.push_str(&format!(
            "\nAdd-ADSync{kind}ConditionGroup  `\n-SynchronizationRule $syncRule[0] `\n-{kind}Conditions @({}) `\n-OutVariable syncRule\n\n",
            list.join(",")
        ));
    };
    for clauses in &rule.scope {
        group(
            "Scope",
            clauses
                .iter()
                .map(|c| format!("{},{},{}", q(&c.attribute), q(&c.value), q(&c.operator)))
                .collect(),
        );
    }
    for conditions in &rule.join {
        group(
            "Join",
            conditions
                .iter()
                .map(|c| format!("{},{},${}", q(&c.connector), q(&c.metaverse), c.case_sensitive))
                .collect(),
        );
    }
    out.push_str(&format!(
        "\nAdd-ADSyncRule  `\n-SynchronizationRule $syncRule[0]\n\nGet-ADSyncRule  `\n-Identifier {}\n\n",
        q(&rule.id)
    ));
    out
}
