//! One direction of dependency between the crates of the house: section 2 of the design as a table.
//!
//! Dependencies of tests are free: a test may look at a crate from any side.

use crate::checks::Findings;
use crate::workspace::{HOUSE_PREFIX, Workspace};

/// A crate and the crates of the house that it may depend on.
struct Row {
    name: &'static str,
    may_use: &'static [&'static str],
}

/// The table. A new crate needs a row, and a reason in ARCHITECTURE.md.
const TABLE: &[Row] = &[
    Row { name: "onesync-model", may_use: &[] },
    Row { name: "onesync-expr", may_use: &["onesync-model"] },
    Row { name: "onesync-rules", may_use: &["onesync-model", "onesync-expr"] },
    Row { name: "onesync-engine", may_use: &["onesync-model", "onesync-expr", "onesync-rules"] },
    // the neutral reading of another product's export
    Row { name: "onesync-aadconnect", may_use: &["onesync-model"] },
    Row { name: "onesync-ldap", may_use: &[] },
    Row { name: "onesync-vault", may_use: &[] },
    Row { name: "onesync-store", may_use: &["onesync-model", "onesync-engine"] },
    Row { name: "onesync-connectors", may_use: &["onesync-model", "onesync-ldap"] },
    Row {
        name: "onesync-service",
        may_use: &[
            "onesync-model",
            "onesync-expr",
            "onesync-rules",
            "onesync-engine",
            "onesync-ldap",
            "onesync-vault",
            "onesync-store",
            "onesync-connectors",
            "onesync-aadconnect",
        ],
    },
    // the simulator and the generator are part of the demo
    Row { name: "onesync", may_use: &["onesync-service", "onesync-graphsim", "onesync-testkit"] },
    Row { name: "onesync-graphsim", may_use: &[] },
    // the tools of the tests drive the whole house
    Row {
        name: "onesync-testkit",
        may_use: &[
            "onesync-model",
            "onesync-expr",
            "onesync-rules",
            "onesync-engine",
            "onesync-ldap",
            "onesync-vault",
            "onesync-store",
            "onesync-connectors",
            "onesync-service",
            "onesync-graphsim",
        ],
    },
    // measures the real thing, and its limit
    Row {
        name: "onesync-bench",
        may_use: &[
            "onesync-model",
            "onesync-engine",
            "onesync-store",
            "onesync-connectors",
            "onesync-service",
            "onesync-graphsim",
            "onesync-testkit",
        ],
    },
    // the gate has to run when the house does not compile
    Row { name: "xtask", may_use: &[] },
];

/// Compares the members' manifests with the table.
pub fn check(workspace: &Workspace) -> Findings {
    let mut errors = Vec::new();
    for member in workspace.members() {
        let Some(row) = TABLE.iter().find(|row| row.name == member.name) else {
            errors.push(format!(
                "crate `{}` is not in the table of dependencies: add a row in xtask/src/checks/direction.rs",
                member.name
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let name = dependency.name.as_str();
            let house = dependency.path.is_some() || name.starts_with(HOUSE_PREFIX);
            if house && dependency.kind.as_deref() != Some("dev") && !row.may_use.contains(&name) {
                errors.push(format!(
                    "`{}` must not depend on `{name}`; it may use: {}",
                    row.name,
                    if row.may_use.is_empty() { "none".to_owned() } else { row.may_use.join(", ") }
                ));
            }
        }
    }
    Findings::errors(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{root, sample};

    #[test]
    fn the_house_keeps_its_direction() {
        let workspace = Workspace::load(&root().unwrap()).unwrap();
        let found = check(&workspace).errors;
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn an_edge_against_the_direction_is_found() {
        let workspace =
            sample::workspace(&[("onesync-model", &[("onesync-engine", None)]), ("onesync-engine", &[])]);
        let found = check(&workspace).errors;
        assert_eq!(found, ["`onesync-model` must not depend on `onesync-engine`; it may use: none"]);
    }

    #[test]
    fn tests_may_depend_on_anything() {
        let workspace = sample::workspace(&[("onesync-ldap", &[("onesync-testkit", Some("dev"))])]);
        assert!(check(&workspace).errors.is_empty());
    }

    #[test]
    fn a_build_script_is_no_test() {
        let workspace = sample::workspace(&[("onesync-ldap", &[("onesync-model", Some("build"))])]);
        assert_eq!(check(&workspace).errors.len(), 1);
    }

    #[test]
    fn an_unknown_crate_needs_a_row() {
        let workspace = sample::workspace(&[("onesync-attic", &[])]);
        assert!(check(&workspace).errors[0].contains("`onesync-attic` is not in the table"));
    }

    #[test]
    fn the_table_has_no_cycle() {
        let mut built: Vec<&str> = Vec::new();
        while built.len() < TABLE.len() {
            let ready = TABLE.iter().find(|row| {
                !built.contains(&row.name) && row.may_use.iter().all(|name| built.contains(name))
            });
            built.push(ready.expect("a cycle, or a name without a row").name);
        }
    }
}
