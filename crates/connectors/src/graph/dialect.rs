//! The names that Azure AD Connect's cloud connector has for what is in a tenant.
//!
//! Rules that were written for it run unchanged: what Graph has under another name is renamed, what Graph has
//! nowhere is known with its type, so that rules can compute it. It is shown and never sent.

use onesync_model::AttributeType;

use super::schema::{Kind, Place, Spec};
use crate::AttributeWord;

const U: u8 = 1;
const G: u8 = 2;
const M: u8 = 4;
const C: u8 = 8;
/// Devices, which this connector neither reads nor writes.
const D: u8 = 16;
const GROUPS: u8 = G | M;
const ALL: u8 = U | G | M | C;

/// The original's object types.
pub(super) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Group | Kind::MailGroup => "group",
        Kind::Contact => "contact",
        Kind::Device => "device",
    }
}

/// What Graph has under another name: object types, the original's name, Graph's.
const RENAMED: &[(u8, &str, &str)] = &[
    (U, "sourceAnchor", "onPremisesImmutableId"),
    (GROUPS, "sourceAnchor", "uniqueName"),
    (ALL, "alias", "mailNickname"),
    (U | C, "company", "companyName"),
    (U | C, "title", "jobTitle"),
    (U | C, "mobile", "mobilePhone"),
    (U | C, "telephoneNumber", "businessPhones"),
    (U | C, "facsimileTelephoneNumber", "faxNumber"),
    (U | C, "physicalDeliveryOfficeName", "officeLocation"),
    (U, "otherMail", "otherMails"),
    (U, "employeeOrgDataCostCenter", "costCenter"),
    (U, "employeeOrgDataDivision", "division"),
    (U | GROUPS, "dnsDomainName", "onPremisesDomainName"),
    (GROUPS, "netBiosName", "onPremisesNetBiosName"),
    (GROUPS, "member", "members"),
];

/// What Graph has nowhere, by object types and type. The lists are those of the original's connector schema, and what
/// later builds flow.
const NOWHERE: &[(u8, AttributeType, bool, &str)] = &[
    (ALL | D, AttributeType::String, false, "dn commonName export_password onPremisesObjectIdentifier"),
    (C | D, AttributeType::String, false, "sourceAnchor"),
    (D, AttributeType::String, false, "displayName"),
    (U | C | D, AttributeType::Binary, true, "userCertificate"),
    (ALL, AttributeType::Integer, false, "msExchModerationFlags msExchRecipientTypeDetails"),
    (ALL, AttributeType::String, false, "legacyExchangeDN targetAddress cloudLegacyExchangeDN"),
    (
        ALL,
        AttributeType::Boolean,
        false,
        "msExchEnableModeration msExchHideFromAddressLists msExchRequireAuthToSendTo cloudSOAExchMailbox",
    ),
    (ALL, AttributeType::Integer, false, "msDsHabSeniorityIndex msExchRecipientDisplayType dirSyncOverrides"),
    (
        ALL,
        AttributeType::Reference,
        true,
        "authOrig cloudPublicDelegates dLMemRejectPerms dLMemSubmitPerms msExchBypassModerationFromDLMembersLink \
         msExchBypassModerationLink msExchModeratedByLink publicDelegates unauthOrig",
    ),
    (ALL, AttributeType::Reference, false, "altRecipient assistant"),
    (
        ALL,
        AttributeType::String,
        true,
        "msExchExtensionCustomAttribute1 msExchExtensionCustomAttribute2 msExchExtensionCustomAttribute3 \
         msExchExtensionCustomAttribute4 msExchExtensionCustomAttribute5 msExchSenderHintTranslations",
    ),
    (
        ALL,
        AttributeType::String,
        false,
        "info msDsPhoneticDisplayName msExchLitigationHoldDate msExchLitigationHoldOwner msExchRetentionComment \
         msExchRetentionUrl",
    ),
    (U | C, AttributeType::String, false, "description"),
    (
        G | M | C,
        AttributeType::String,
        false,
        "extensionAttribute1 extensionAttribute2 extensionAttribute3 extensionAttribute4 extensionAttribute5 \
         extensionAttribute6 extensionAttribute7 extensionAttribute8 extensionAttribute9 extensionAttribute10 \
         extensionAttribute11 extensionAttribute12 extensionAttribute13 extensionAttribute14 extensionAttribute15",
    ),
    (U | C, AttributeType::Boolean, false, "msRtcSipUserEnabled"),
    (U | C, AttributeType::Integer, false, "countryCode msRtcSipOptionFlags"),
    (C, AttributeType::Reference, false, "manager"),
    (
        U | C,
        AttributeType::String,
        true,
        "otherFacsimileTelephoneNumber otherHomePhone otherIpPhone otherMobile otherPager otherTelephone \
         postOfficeBox url certificateUserIds",
    ),
    (
        U | C,
        AttributeType::String,
        false,
        "countryLetterCode homePhone initials ipPhone middleName msExchAssistantName msRtcSipDeploymentLocator \
         msRtcSipLine msRtcSipPrimaryUserAddress pager telephoneAssistant wWWHomePage",
    ),
    (U | C, AttributeType::Binary, true, "userSMIMECertificate"),
    (
        U | C,
        AttributeType::Binary,
        false,
        "msExchBlockedSendersHash msExchSafeRecipientsHash msExchSafeSendersHash thumbnailPhoto",
    ),
    (
        D,
        AttributeType::Boolean,
        false,
        "accountEnabled cloudAccountEnabled cloudCreated cloudMastered isCompliant isManaged",
    ),
    (D, AttributeType::Integer, false, "deviceObjectVersion dirSyncOverrides"),
    (D, AttributeType::Reference, true, "registeredUsersReference"),
    (D, AttributeType::Reference, false, "registeredOwnerReference"),
    (D, AttributeType::String, true, "alternativeSecurityId devicePhysicalIds"),
    (
        D,
        AttributeType::String,
        false,
        "approximateLastLogonTimestamp cloudDeviceOSType cloudDeviceOSVersion cloudDisplayName deviceOSType \
         deviceOSVersion deviceTrustType cloudAnchor",
    ),
    (D, AttributeType::Binary, true, "stkDeviceKey"),
    (D, AttributeType::Binary, false, "deviceId"),
    (ALL | D, AttributeType::Binary, false, "onPremiseSecurityIdentifier"),
    (
        GROUPS,
        AttributeType::Boolean,
        false,
        "hideDLMembership msOrgIsOrganizational oOFReplyToOriginator reportToOriginator reportToOwner",
    ),
    (GROUPS, AttributeType::Integer, false, "msExchGroupDepartRestriction msExchGroupJoinRestriction"),
    (GROUPS, AttributeType::Reference, true, "msExchCoManagedByLink"),
    (GROUPS, AttributeType::Reference, false, "managedBy"),
    (GROUPS, AttributeType::String, true, "msExchLabeledURI"),
    (U, AttributeType::Boolean, false, "msExchBypassAudit msExchMailboxAuditEnable"),
    (
        U,
        AttributeType::Integer,
        false,
        "msExchMailboxAuditLogAgeLimit cloudMSExchArchiveStatus cloudMSExchRecipientDisplayType msExchAuditAdmin \
         msExchAuditDelegate msExchAuditDelegateAdmin msExchAuditOwner msExchElcMailboxFlags \
         msExchRemoteRecipientType msExchResourceCapacity msRtcSipApplicationOptions",
    ),
    (
        U,
        AttributeType::Reference,
        true,
        "cloudMSExchDelegateListLink cloudMSExchTeamMailboxOwners msExchDelegateListLink msExchTeamMailboxOwners",
    ),
    (U, AttributeType::Reference, false, "msExchTeamMailboxSharePointLinkedBy"),
    (
        U,
        AttributeType::String,
        true,
        "cloudMSExchUCVoiceMailSettings cloudMSExchUserHoldPolicies msExchArchiveName msExchResourceMetadata \
         msExchResourceSearchProperties msExchUserHoldPolicies signInNames",
    ),
    (
        U,
        AttributeType::String,
        false,
        "cloudMSExchTeamMailboxExpiration cloudMSExchTeamMailboxSharePointUrl lastPasswordChangeTimestamp \
         msExchElcExpirySuspensionEnd msExchElcExpirySuspensionStart msExchImmutableId msExchResourceDisplay \
         msExchTeamMailboxExpiration msExchTeamMailboxSharePointUrl msRtcSipOwnerUrn netBiosName \
         employeeLeaveDateTime",
    ),
    (U, AttributeType::Binary, true, "searchableDeviceKey"),
    (
        U,
        AttributeType::Binary,
        false,
        "cloudMSExchBlockedSendersHash cloudMSExchSafeRecipientsHash cloudMSExchSafeSendersHash msExchArchiveGuid \
         msExchMailboxGuid",
    ),
    (C, AttributeType::String, false, "preferredLanguage usageLocation"),
];

/// The table in the original's names. `computed` are attributes that rules flow and this table does not have.
pub(super) fn specs(graph: Vec<Spec>, computed: &[(String, AttributeWord)]) -> Vec<Spec> {
    let mut all = Vec::with_capacity(graph.len() + 200);
    for spec in graph {
        for (types, name, of) in
            RENAMED.iter().filter(|(types, _, of)| *of == spec.name && spec.is_of(*types))
        {
            let renamed = spec.of_types(*types);
            debug_assert_eq!(*of, renamed.name);
            all.push(Spec { shown: (*name).to_owned(), ..renamed });
        }
        let taken =
            RENAMED.iter().filter(|(_, _, of)| *of == spec.name).fold(0, |sum, (types, ..)| sum | types);
        all.extend(spec.without_types(taken));
    }
    for (types, name, kind, place) in [
        (ALL, "cloudAnchor", AttributeType::String, Place::CloudAnchor),
        // What tells it lies elsewhere for each type.
        (U, "cloudMastered", AttributeType::Boolean, Place::CloudMastered),
        (GROUPS, "cloudMastered", AttributeType::Boolean, Place::CloudMastered),
        (C, "cloudMastered", AttributeType::Boolean, Place::CloudMastered),
    ] {
        all.push(Spec { kind, place, read_only: true, ..Spec::new(name, types) });
    }
    for &(types, kind, multi, names) in NOWHERE {
        for name in names.split_ascii_whitespace() {
            all.extend(nowhere(&all, name, types, kind, multi));
        }
    }
    for (name, attribute) in computed {
        let computed = nowhere(&all, name, ALL | D, attribute.kind, attribute.multi);
        all.extend(computed);
    }
    all
}

fn nowhere(known: &[Spec], name: &str, types: u8, kind: AttributeType, multi: bool) -> Option<Spec> {
    let taken = known
        .iter()
        .filter(|spec| spec.shown.eq_ignore_ascii_case(name))
        .fold(0, |sum, spec| sum | spec.types);
    let spec = Spec { kind, multi, read_only: true, place: Place::Nowhere, ..Spec::new(name, types) };
    spec.without_types(taken)
}
