//! The names of the statements that every dialect gives.

/// Hands the names of the statements that read to a macro.
macro_rules! reads {
    ($then:ident) => {
        $then! {
            AGENDA_ALL AGENDA_BY_TIME AGENDA_BY_WORK AGENDA_CONNECTOR AGENDA_COUNTS AGENDA_EARLIEST
            AGENDA_FEW CONFIGS CONFIG_FILES CONFIG_HAS CONNECTORS CONTAINERS_IN CONTAINER_ALL
            CONTAINER_BY_ANCHOR CONTAINER_BY_ID CONTAINER_BY_NAME COUNTERS CS_ALL CS_BY_ID CS_BY_JOIN
            CS_BY_KEY CS_BY_NAME CS_COUNTS CS_HEADS CS_IN_CONTAINER CS_JOINED_IN CS_JOINED_TO
            CS_JOIN_ALL CS_JOIN_OF CS_LIVE CS_NAME_KEY CS_OF_MV CS_PAGE CS_TARGET_BY_KEY
            CS_TARGET_BY_NAME ERRORS_OF ERROR_ALL ERROR_ANY ERROR_COUNTS ERROR_PAGE ERROR_PAGE_OF EVENTS EVENTS_AFTER
            EXPORTED EXPORT_ALL EXPORT_BY_ID EXPORT_COUNTS EXPORT_DUE EXPORT_LINKS EXPORT_LINK_ALL
            EXPORT_LINKS_OF EXPORT_LINK_ANY_DUE EXPORT_LINK_BY_KEY EXPORT_LINK_COUNTS EXPORT_LINK_DUE EXPORT_LINK_OWNERS
            EXPORT_LINK_PAGE EXPORT_LINK_SENDING EXPORT_PAGE EXPORT_REMOVALS_TO EXPORT_SENDING HELD_PLAN
            HELD_PLANS HISTORY HISTORY_ALL INSTALLATION LINKS LINKS_OF LINK_ALL LINK_HAS LINK_REFERRERS
            MV_BY_GUID MV_BY_ID MV_BY_JOIN MV_COUNTS MV_JOIN_ALL MV_LINKS MV_LINKS_OF MV_LINK_ALL MV_LINK_COUNT
            MV_LINK_HAS MV_LINK_REFERRERS MV_PAGE NAMES RULES RUN RUN_NEXT RUN_PAGE RUN_PAGE_OF SECRET
            SECRETS SERVERS SETTING SETTINGS STATE STATE_ALL
        }
    };
}
pub(crate) use reads;

/// Hands the names of the statements that write what the service records to a macro.
macro_rules! writes {
    ($then:ident) => {
        $then! {
            CONFIG_FILE_PUT CONFIG_HAS CONFIG_PUT CONNECTOR_PUT CS_COUNT_ADD CS_COUNT_CLEAN
            ERROR_COUNT_ADD ERROR_COUNT_CLEAN EVENT_DELETE EVENT_LAST EVENT_OLD EVENT_PUT EXPORTED_ADD EXPORT_COUNT EXPORT_COUNT_ADD
            EXPORT_COUNT_CLEAN EXPORT_LINK_COUNT EXPORT_LINK_COUNT_ADD EXPORT_LINK_COUNT_CLEAN
            HELD_PLAN_PUT MV_COUNT_ADD MV_COUNT_CLEAN NAME NAME_PUT RULE RULE_PUT RUN RUN_PUT SECRET_DELETE
            SECRET_PUT SECRET_RESEAL SETTING SETTING_PUT STAGING
        }
    };
}
pub(crate) use writes;

macro_rules! read_statements {
    ($($name:ident)*) => {
        /// The statements that read.
        pub(crate) trait Statements {
            $(const $name: &'static str;)*
        }
    };
}
reads!(read_statements);

macro_rules! write_statements {
    ($($name:ident)*) => {
        /// The statements that write what the service records, and those that look at what is there.
        pub(crate) trait WriteStatements {
            $(const $name: &'static str;)*
        }
    };
}
writes!(write_statements);

/// Hands the names of the statements that write what the engine decides, as sets of rows, to a macro; with them those of
/// a transaction.
macro_rules! sets {
    ($then:ident) => {
        $then! {
            AGENDA_DELETE AGENDA_DELETE_IDENTITY AGENDA_PUT CONTAINER_PUT COUNTERS_PUT CS_DELETE CS_FREE_ANCHOR CS_INSERT
            CS_JOINED_DELETE CS_JOINED_PUT CS_JOIN_DELETE CS_JOIN_PUT CS_NAME_PUT CS_OLD CS_UPDATE EPOCH_RAISE
            ERRORS_OF ERROR_BY_KEY ERROR_DELETE ERROR_DELETE_OF ERROR_PUT EXPORTED_TRIM EXPORT_DELETE
            EXPORT_LINK_BY_KEY EXPORT_LINK_DELETE EXPORT_LINK_DELETE_OF EXPORT_LINK_OF EXPORT_LINK_PUT EXPORT_OLD
            EXPORT_PUT HISTORY_PUT HISTORY_TRIM INSTALL INSTALLATION INSTALLATION_NAME LABELS LEASE LINK_DELETE LINK_DELETE_OF LINK_PUT MARK_PUT
            MV_DELETE MV_JOIN_DELETE MV_JOIN_PUT MV_LINK_DELETE MV_LINK_DELETE_OF MV_LINK_PUT MV_OLD MV_PUT RUN_TRIM
            SERVER_PUT SERVER_RENEW STATE_DELETE STATE_PUT
        }
    };
}
pub(crate) use sets;

macro_rules! set_statements {
    ($($name:ident)*) => {
        /// The statements that write what the engine decides, and those of a transaction.
        pub(crate) trait SetStatements {
            $(const $name: &'static str;)*
        }
    };
}
sets!(set_statements);
