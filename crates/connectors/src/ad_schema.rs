//! The part of Active Directory's schema that synchronisation rules read: types of attributes, and who has them.
//!
//! For connectors that cannot ask a directory (LDIF files), and as the answer to what a directory does not say about
//! itself (large integers, references). Deliberately absent: attributes that no rule reads, and syntax details that
//! do not matter to values.

use std::collections::HashMap;
use std::sync::LazyLock;

use onesync_model::AttributeType::{self, Binary, Boolean, Integer, Reference, String as Text, Time};

use crate::{DiscoveredAttribute, DiscoveredSchema, DiscoveredType};

/// One attribute of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdAttribute {
    /// Its name as Active Directory spells it.
    pub name: &'static str,
    /// The type of its values. Large integers (`pwdLastSet`, `accountExpires`) are integers.
    pub kind: AttributeType,
    /// Whether it may hold several values.
    pub multi: bool,
    /// Which types have it.
    holders: u8,
}

/// Types whose objects are synchronised.
pub const OBJECT_TYPES: [&str; 7] =
    ["user", "inetOrgPerson", "contact", "group", "foreignSecurityPrincipal", "computer", "msDS-Device"];

/// `user` and `inetOrgPerson`.
const USER: u8 = 1;
const CONTACT: u8 = 2;
const GROUP: u8 = 4;
const FOREIGN: u8 = 8;
const COMPUTER: u8 = 16;
const DEVICE: u8 = 32;
const PEOPLE: u8 = USER | CONTACT;
const MAIL: u8 = USER | CONTACT | GROUP;
const ALL: u8 = 63;

/// Attributes by who has them, type, and whether they hold several values.
const SECTIONS: &[(u8, AttributeType, bool, &str)] = &[
    (ALL, Text, true, "objectClass description"),
    (
        ALL,
        Text,
        false,
        "cn name distinguishedName canonicalName displayName adminDescription adminDisplayName wWWHomePage",
    ),
    (ALL, Binary, false, "objectGUID mS-DS-ConsistencyGuid"),
    (ALL, Time, false, "whenCreated whenChanged"),
    (ALL, Integer, false, "uSNCreated uSNChanged instanceType"),
    (ALL, Boolean, false, "isCriticalSystemObject isDeleted isRecycled showInAdvancedViewOnly"),
    (ALL, Reference, true, "memberOf"),
    (ALL & !DEVICE, Reference, false, "managedBy"),
    (USER | GROUP | FOREIGN | COMPUTER, Binary, false, "objectSid"),
    (USER | GROUP | FOREIGN | COMPUTER, Binary, true, "sIDHistory"),
    (USER | GROUP | COMPUTER, Text, false, "sAMAccountName"),
    (USER | GROUP | COMPUTER, Integer, false, "sAMAccountType adminCount"),
    (USER | COMPUTER, Text, false, "userPrincipalName dNSHostName operatingSystem operatingSystemVersion"),
    (USER | COMPUTER, Text, true, "servicePrincipalName"),
    (
        USER | COMPUTER,
        Integer,
        false,
        "userAccountControl pwdLastSet accountExpires lastLogonTimestamp lastLogon badPasswordTime badPwdCount \
         lockoutTime logonCount primaryGroupID msDS-SupportedEncryptionTypes msDS-User-Account-Control-Computed \
         msDS-UserPasswordExpiryTimeComputed",
    ),
    (
        PEOPLE,
        Text,
        false,
        "givenName sn initials middleName personalTitle generationQualifier title department division company \
         employeeID employeeNumber employeeType telephoneNumber homePhone mobile pager ipPhone \
         facsimileTelephoneNumber primaryInternationalISDNNumber primaryTelexNumber telephoneAssistant \
         msExchAssistantName physicalDeliveryOfficeName streetAddress homePostalAddress l st postalCode c co comment \
         preferredLanguage msDS-PhoneticFirstName msDS-PhoneticLastName \
         msDS-PhoneticDepartment msDS-PhoneticCompanyName msRTCSIP-DeploymentLocator msRTCSIP-Line msRTCSIP-OwnerUrn \
         msRTCSIP-PrimaryUserAddress msExchUsageLocation",
    ),
    (
        PEOPLE,
        Text,
        true,
        "otherTelephone otherHomePhone otherMobile otherPager otherIpPhone otherFacsimileTelephoneNumber \
         otherMailbox url postOfficeBox postalAddress street o ou roomNumber departmentNumber carLicense uid \
         businessCategory labeledURI",
    ),
    (
        PEOPLE,
        Integer,
        false,
        "countryCode msDS-HABSeniorityIndex msRTCSIP-OptionFlags msRTCSIP-ApplicationOptions",
    ),
    (PEOPLE, Boolean, false, "msRTCSIP-UserEnabled"),
    (PEOPLE, Binary, false, "thumbnailPhoto thumbnailLogo msRTCSIP-OriginatorSid"),
    (PEOPLE, Binary, true, "photo jpegPhoto audio userCertificate userSMIMECertificate userPKCS12"),
    (PEOPLE, Reference, false, "manager assistant"),
    (PEOPLE, Reference, true, "directReports secretary seeAlso"),
    (
        MAIL,
        Text,
        false,
        "mail mailNickname msDS-PhoneticDisplayName targetAddress legacyExchangeDN info telexNumber",
    ),
    (MAIL, Text, true, "proxyAddresses textEncodedORAddress showInAddressBook"),
    (
        MAIL,
        Text,
        false,
        "extensionAttribute1 extensionAttribute2 extensionAttribute3 extensionAttribute4 extensionAttribute5 \
         extensionAttribute6 extensionAttribute7 extensionAttribute8 extensionAttribute9 extensionAttribute10 \
         extensionAttribute11 extensionAttribute12 extensionAttribute13 extensionAttribute14 extensionAttribute15 \
         msExchImmutableId msExchLabeledURI msExchResourceDisplay msExchRetentionComment msExchRetentionURL \
         msExchLitigationHoldOwner msExchTeamMailboxSharePointUrl",
    ),
    (
        MAIL,
        Text,
        true,
        "msExchExtensionCustomAttribute1 msExchExtensionCustomAttribute2 msExchExtensionCustomAttribute3 \
         msExchExtensionCustomAttribute4 msExchExtensionCustomAttribute5 msExchArchiveName msExchPoliciesExcluded \
         msExchPoliciesIncluded msExchResourceMetaData msExchResourceSearchProperties msExchSenderHintTranslations \
         msExchUCVoiceMailSettings msExchUserHoldPolicies",
    ),
    (
        MAIL,
        Integer,
        false,
        "msExchRecipientTypeDetails msExchRecipientDisplayType msExchRemoteRecipientType msExchModerationFlags \
         msExchResourceCapacity msExchELCMailboxFlags msExchGroupDepartRestriction msExchGroupJoinRestriction \
         msExchArchiveStatus msExchAuditAdmin msExchAuditDelegate msExchAuditDelegateAdmin msExchAuditOwner \
         msExchMailboxAuditLogAgeLimit msExchVersion",
    ),
    (
        MAIL,
        Boolean,
        false,
        "msExchHideFromAddressLists msExchRequireAuthToSendTo msExchEnableModeration msExchBypassAudit \
         msExchMailboxAuditEnable",
    ),
    (
        MAIL,
        Time,
        false,
        "msExchELCExpirySuspensionStart msExchELCExpirySuspensionEnd msExchLitigationHoldDate \
         msExchTeamMailboxExpiration msExchWhenMailboxCreated",
    ),
    (
        MAIL,
        Binary,
        false,
        "msExchMailboxGuid msExchArchiveGUID msExchMasterAccountSid msExchBlockedSendersHash msExchSafeRecipientsHash \
         msExchSafeSendersHash",
    ),
    (MAIL, Reference, false, "altRecipient homeMDB msExchTeamMailboxSharePointLinkedBy"),
    (
        MAIL,
        Reference,
        true,
        "authOrig unauthOrig dLMemSubmitPerms dLMemRejectPerms publicDelegates msExchDelegateListLink \
         msExchModeratedByLink msExchCoManagedByLink msExchBypassModerationLink \
         msExchBypassModerationFromDLMembersLink msExchBypassModerationFromDLMembersBL msExchTeamMailboxOwners",
    ),
    (GROUP, Integer, false, "groupType"),
    (
        GROUP,
        Boolean,
        false,
        "hideDLMembership oOFReplyToOriginator reportToOriginator reportToOwner msOrg-IsOrganizational",
    ),
    (GROUP, Reference, true, "member owner uniqueMember"),
    (USER | DEVICE, Binary, true, "msDS-KeyCredentialLink"),
    (
        MAIL | DEVICE,
        Text,
        false,
        "msDS-cloudExtensionAttribute1 msDS-cloudExtensionAttribute2 msDS-ExternalDirectoryObjectId",
    ),
    (USER | COMPUTER | DEVICE, Text, true, "msDS-CloudAnchor altSecurityIdentities"),
    (USER | COMPUTER | DEVICE, Binary, false, "mS-DS-CreatorSID"),
    (DEVICE, Binary, false, "msDS-DeviceID"),
    (DEVICE, Text, false, "msDS-DeviceOSType msDS-DeviceOSVersion"),
    (DEVICE, Text, true, "msDS-DevicePhysicalIDs"),
    (DEVICE, Integer, false, "msDS-DeviceObjectVersion msDS-ApproximateLastLogonTimeStamp"),
    (DEVICE, Boolean, false, "msDS-IsEnabled msDS-IsManaged msDS-IsCompliant msDS-CloudIsManaged"),
    (DEVICE, Binary, true, "msDS-RegisteredOwner msDS-RegisteredUsers"),
];

static BY_NAME: LazyLock<HashMap<String, AdAttribute>> = LazyLock::new(|| {
    attributes().map(|attribute| (attribute.name.to_ascii_lowercase(), attribute)).collect()
});

/// All attributes of the schema.
pub fn attributes() -> impl Iterator<Item = AdAttribute> {
    SECTIONS.iter().flat_map(|&(holders, kind, multi, names)| {
        names.split_ascii_whitespace().map(move |name| AdAttribute { name, kind, multi, holders })
    })
}

/// One attribute by its name, in whatever case.
#[must_use]
pub fn attribute(name: &str) -> Option<AdAttribute> {
    BY_NAME.get(&name.to_ascii_lowercase()).copied()
}

/// The schema as a directory would tell it, nothing of it writable.
#[must_use]
pub fn discovered() -> DiscoveredSchema {
    let types = OBJECT_TYPES.into_iter().map(|name| DiscoveredType {
        name: name.to_owned(),
        attributes: attributes().filter(|a| a.is_held_by(name)).map(|a| a.name.to_owned()).collect(),
        required: Vec::new(),
        writable: false,
        read_only: Vec::new(),
        never_empty: Vec::new(),
    });
    let attributes = attributes().map(|attribute| DiscoveredAttribute {
        name: attribute.name.to_owned(),
        kind: attribute.kind,
        multi: attribute.multi,
        case_exact: false,
        read_only: true,
        length_max: None,
    });
    DiscoveredSchema { types: types.collect(), attributes: attributes.collect() }
}

impl AdAttribute {
    /// Whether objects of this type may have it.
    #[must_use]
    pub fn is_held_by(&self, object_type: &str) -> bool {
        let holder = match object_type {
            "user" | "inetOrgPerson" => USER,
            "contact" => CONTACT,
            "group" => GROUP,
            "foreignSecurityPrincipal" => FOREIGN,
            "computer" => USER | COMPUTER, // a class below `user`
            "msDS-Device" => DEVICE,
            _ => 0,
        };
        self.holders & holder != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attribute_is_named_twice() {
        assert_eq!(BY_NAME.len(), attributes().count());
    }

    #[test]
    fn what_the_stock_rules_read_has_the_right_type() {
        for (name, kind, multi) in [
            ("objectguid", Binary, false),
            ("objectSid", Binary, false),
            ("userAccountControl", Integer, false),
            ("pwdLastSet", Integer, false),
            ("accountExpires", Integer, false),
            ("proxyAddresses", Text, true),
            ("member", Reference, true),
            ("manager", Reference, false),
            ("whenChanged", Time, false),
            ("thumbnailPhoto", Binary, false),
            ("userCertificate", Binary, true),
            ("isCriticalSystemObject", Boolean, false),
            ("extensionAttribute15", Text, false),
        ] {
            let found = attribute(name).unwrap();
            assert_eq!((found.kind, found.multi), (kind, multi), "{name}");
        }
        assert!(attribute("member").unwrap().is_held_by("group"));
        assert!(!attribute("member").unwrap().is_held_by("user"));
        assert!(attribute("userCertificate").unwrap().is_held_by("computer"));
        assert!(attribute("msDS-PhoneticDisplayName").unwrap().is_held_by("group"));
        assert_eq!(attribute("nonsense"), None);
    }

    /// The attributes that Azure AD Connect selects by default, section 6 of the collected facts.
    #[test]
    fn the_default_selection_is_known() {
        let selected = "adminDescription assistant authOrig c cn co company countryCode department description \
            displayName dLMemRejectPerms dLMemSubmitPerms extensionAttribute1 facsimileTelephoneNumber givenName \
            groupType hideDLMembership homePhone info initials ipPhone isCriticalSystemObject l legacyExchangeDN mail \
            mailNickname managedBy manager member middleName mobile msDS-CloudAnchor mS-DS-CreatorSID msDS-DeviceID \
            msDS-HABSeniorityIndex msDS-PhoneticDisplayName msExchArchiveGUID msExchArchiveName msExchAssistantName \
            msExchBlockedSendersHash msExchBypassModerationFromDLMembersBL msExchBypassModerationFromDLMembersLink \
            msExchBypassModerationLink msExchCoManagedByLink msExchDelegateListLink msExchELCExpirySuspensionEnd \
            msExchELCExpirySuspensionStart msExchELCMailboxFlags msExchEnableModeration msExchGroupDepartRestriction \
            msExchGroupJoinRestriction msExchHideFromAddressLists msExchImmutableId msExchMailboxGuid \
            msExchMasterAccountSid msExchModeratedByLink msExchModerationFlags msExchRecipientDisplayType \
            msExchRecipientTypeDetails msExchRequireAuthToSendTo msExchResourceCapacity msExchResourceDisplay \
            msExchResourceMetaData msExchResourceSearchProperties msExchRetentionComment msExchRetentionURL \
            msExchSafeRecipientsHash msExchSafeSendersHash msExchSenderHintTranslations msExchUCVoiceMailSettings \
            msExchUserHoldPolicies msRTCSIP-ApplicationOptions msRTCSIP-DeploymentLocator msRTCSIP-Line \
            msRTCSIP-OptionFlags msRTCSIP-OriginatorSid msRTCSIP-OwnerUrn msRTCSIP-PrimaryUserAddress \
            msRTCSIP-UserEnabled objectGUID objectSid oOFReplyToOriginator operatingSystem operatingSystemVersion \
            otherFacsimileTelephoneNumber otherHomePhone otherIpPhone otherMobile otherPager otherTelephone pager photo \
            physicalDeliveryOfficeName postalCode postOfficeBox preferredLanguage proxyAddresses publicDelegates \
            pwdLastSet reportToOriginator reportToOwner sAMAccountName sn st streetAddress targetAddress \
            telephoneAssistant telephoneNumber thumbnailPhoto title unauthOrig url userAccountControl userCertificate \
            userPrincipalName userSMIMECertificate wWWHomePage";
        for name in selected.split_ascii_whitespace() {
            assert!(attribute(name).is_some(), "{name}");
        }
    }
}
