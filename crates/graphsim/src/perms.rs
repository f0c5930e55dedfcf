//! Which application permission a request needs; any one of a row is enough.

use crate::error::GraphError;
use crate::message::Req;

/// Permissions the simulator knows by name: the app roles of Microsoft Graph.
pub(crate) const KNOWN: &[&str] = &[
    "Application.Read.All",
    "Application.ReadWrite.All",
    "Application.ReadWrite.OwnedBy",
    "Device.Read.All",
    "Device.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
    "Domain.Read.All",
    "Group.Create",
    "Group.Read.All",
    "Group.ReadWrite.All",
    "GroupMember.Read.All",
    "GroupMember.ReadWrite.All",
    "OnPremDirectorySynchronization.Read.All",
    "Organization.Read.All",
    "OrgContact.Read.All",
    "RoleManagement.Read.All",
    "RoleManagement.Read.Directory",
    "RoleManagement.ReadWrite.Directory",
    "User-PasswordProfile.ReadWrite.All",
    "User.DeleteRestore.All",
    "User.EnableDisableAccount.All",
    "User.Read.All",
    "User.ReadWrite.All",
];

/// Refuses a request whose caller holds none of the permissions it needs.
pub(crate) fn check(req: &Req) -> Result<(), GraphError> {
    let needed = needed(req);
    let held = |role: &&str| req.caller.roles.iter().any(|r| r == role);
    if needed.is_empty() || needed.iter().any(held) { Ok(()) } else { Err(GraphError::denied()) }
}

fn needed(req: &Req) -> &'static [&'static str] {
    let names: Vec<&str> = req.segs.iter().map(|s| s.name.as_str()).collect();
    let read = req.method == "GET";
    let keyed = req.segs.first().is_some_and(|s| s.key.is_some());
    let rest = names.get(if keyed { 1 } else { 2 }..).unwrap_or_default();
    match names.as_slice() {
        ["users", ..] => match rest {
            ["memberOf" | "transitiveMemberOf" | "checkMemberGroups" | "getMemberGroups", ..] => &[
                "User.Read.All",
                "User.ReadWrite.All",
                "Directory.Read.All",
                "Directory.ReadWrite.All",
                "GroupMember.Read.All",
            ],
            _ if read => {
                &["User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"]
            }
            _ if only_account_enabled(req) => {
                &["User.EnableDisableAccount.All", "User.ReadWrite.All", "Directory.ReadWrite.All"]
            }
            _ if only_password(req) => {
                &["User-PasswordProfile.ReadWrite.All", "User.ReadWrite.All", "Directory.ReadWrite.All"]
            }
            _ => &["User.ReadWrite.All", "Directory.ReadWrite.All"],
        },
        ["groups", ..] => match rest {
            ["members" | "transitiveMembers" | "owners", ..] | ["checkMemberGroups" | "getMemberGroups"]
                if read =>
            {
                &[
                    "GroupMember.Read.All",
                    "GroupMember.ReadWrite.All",
                    "Group.Read.All",
                    "Group.ReadWrite.All",
                    "Directory.Read.All",
                    "Directory.ReadWrite.All",
                ]
            }
            ["members", ..] => {
                &["GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"]
            }
            _ if read => &[
                "GroupMember.Read.All",
                "GroupMember.ReadWrite.All",
                "Group.Read.All",
                "Group.ReadWrite.All",
                "Directory.Read.All",
                "Directory.ReadWrite.All",
            ],
            _ if req.method == "POST" && names.len() == 1 => {
                &["Group.Create", "Group.ReadWrite.All", "Directory.ReadWrite.All"]
            }
            _ => &["Group.ReadWrite.All", "Directory.ReadWrite.All"],
        },
        ["contacts", ..] => &["OrgContact.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"],
        ["devices", ..] if read => &["Device.Read.All", "Device.ReadWrite.All", "Directory.Read.All"],
        ["devices", ..] => &["Device.ReadWrite.All"],
        ["organization", ..] if read => {
            &["Organization.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"]
        }
        ["organization", ..] => {
            &["Organization.ReadWrite.All", "Directory.ReadWrite.All", "Directory.Read.All"]
        }
        ["domains", ..] => &["Domain.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"],
        ["directoryRoles", ..] | ["roleManagement", ..] => &[
            "RoleManagement.Read.Directory",
            "RoleManagement.ReadWrite.Directory",
            "RoleManagement.Read.All",
            "Directory.Read.All",
            "Directory.ReadWrite.All",
        ],
        ["applications", ..] if read => &[
            "Application.Read.All",
            "Application.ReadWrite.All",
            "Application.ReadWrite.OwnedBy",
            "Directory.Read.All",
        ],
        ["applications", ..] => &["Application.ReadWrite.All", "Application.ReadWrite.OwnedBy"],
        ["servicePrincipals", ..] => &[
            "Application.Read.All",
            "Application.ReadWrite.All",
            "Application.ReadWrite.OwnedBy",
            "Directory.Read.All",
        ],
        ["directory", "onPremisesSynchronization", ..] => {
            &["OnPremDirectorySynchronization.Read.All", "OnPremDirectorySynchronization.ReadWrite.All"]
        }
        ["directory", ..] if read => &[
            "User.Read.All",
            "User.ReadWrite.All",
            "User.DeleteRestore.All",
            "Group.Read.All",
            "Group.ReadWrite.All",
            "Directory.Read.All",
        ],
        ["directory", ..] => &[
            "User.DeleteRestore.All",
            "User.ReadWrite.All",
            "Group.ReadWrite.All",
            "Directory.ReadWrite.All",
        ],
        ["directoryObjects", ..] => &[
            "Directory.Read.All",
            "Directory.ReadWrite.All",
            "User.Read.All",
            "User.ReadWrite.All",
            "Group.Read.All",
            "Group.ReadWrite.All",
        ],
        _ => &[],
    }
}

fn only(req: &Req, name: &str) -> bool {
    let body = req.body.as_ref().and_then(|b| b.as_object());
    req.method == "PATCH" && body.is_some_and(|b| b.len() == 1 && b.contains_key(name))
}

fn only_account_enabled(req: &Req) -> bool {
    only(req, "accountEnabled")
}

fn only_password(req: &Req) -> bool {
    only(req, "passwordProfile")
}
