//! The full import: a cookie first, then the selected containers in pages.
//!
//! A paged search cannot go on over another connection, so an interrupted import goes on behind the last container
//! that was read to its end. What changed meanwhile in those is told by the first delta import, since its cookie is
//! older than all of them.

use std::collections::BTreeSet;

use onesync_ldap::control::DirSync;
use onesync_ldap::{
    ErrorClass as LdapClass, Filter, LdapError, Scope, SearchItem, SearchRequest, TypedControl,
};
use onesync_model::Dn;
use tokio::sync::mpsc;

use super::containers::Containers;
use super::delta::is_renamed;
use super::errors::convert;
use super::layout::Layout;
use super::links::Output;
use super::moved::{self, Told};
use super::reader;
use super::server::{DIR_SYNC_BYTES_MAX, Server, extended_names};
use super::settings::AdSettings;
use super::watermark::{DELTA_FLAGS, Mark, unusable};
use crate::{ConnectorError, ImportEnd, ImportPage, ImportRequest, Proof};

/// Reads everything that is selected.
///
/// # Errors
/// When anything of it cannot be read: then nothing is proven.
pub async fn import(
    server: &mut Server,
    settings: &AdSettings,
    known: Option<&Mark>,
    resume: Option<Mark>,
    request: &ImportRequest,
    pages: mpsc::Sender<ImportPage>,
) -> Result<ImportEnd, ConnectorError> {
    let layout = Layout::new(&request.selection, settings)?;
    let selection = layout.hash(settings);
    let remembered = resume.as_ref().or(known).map(|mark| mark.containers.clone()).unwrap_or_default();
    let mut containers = Containers::find(server, settings, &remembered).await?;
    let mut remarks = containers.remarks.clone();
    let mut output = Output::new(request.page_size, pages);
    let mut mark = match resume {
        Some(mark) => {
            mark.check(&server.invocation().await?, &server.root, &server.address, &selection)?;
            if mark.containers != containers.remembered {
                return Err(unusable("a selected container was renamed or moved since".to_owned()));
            }
            remarks.push(format!("went on after {} containers that were read before", mark.done.len()));
            output.reread.clone_from(&mark.reread);
            Some(mark)
        }
        None if settings.without_dirsync => Some(without_cookie(server).await?),
        None => begin(server, &containers.base, &mut remarks).await?,
    };
    if let Some(mark) = &mut mark {
        mark.selection = selection;
        mark.containers.clone_from(&containers.remembered);
    }
    let found = moved::all(server, &containers).await?;
    let told = Told::decide(found, &BTreeSet::new(), &containers, settings, known, request)?;
    told.send_first(&mut output).await?;
    remarks.extend(told.remark(&containers));
    let mut hidden = Vec::new();
    let bases: Vec<String> = containers.search_bases().into_iter().map(str::to_owned).collect();
    let several = bases.len() > 1;
    for base in bases {
        if mark.as_ref().is_some_and(|mark| mark.done.contains(&base)) {
            continue;
        }
        let query = Query { base: &base, page_size: i32::from(settings.page_size.max(1)) };
        query.run(server, &layout, &mut containers, &mut output, &mut hidden).await?;
        // what was hidden is not written down: such an import begins again
        if let (Some(mark), true) = (&mut mark, hidden.is_empty()) {
            mark.done.push(base);
            mark.reread.clone_from(&output.reread);
            output.end_page(mark.write()).await?;
        }
    }
    told.send_last(&containers, &mut output).await?;
    output.finish().await?;
    let moved = containers.have_moved(server, settings).await?;
    // What goes from a container that is still to be read to one that was read already is not seen in either.
    let crossed = match &mark {
        // Without DirSync nobody tells: what is there and was not shown is looked up again before it counts as gone.
        Some(mark) if several && mark.has_cookie() => {
            let since = Since { flags: mark.flags(), cookie: &mark.cookie()?, filter: layout.delta_filter() };
            // What lies outside now was not to be shown; what came from there is told by the next delta import.
            let base = containers.base.clone();
            since.moves(server, &base, |name| containers.contain(name)).await?
        }
        _ => 0,
    };
    if let Some(mark) = &mut mark {
        mark.reread = output.reread;
        mark.done.clear();
    }
    let mut proof = if hidden.is_empty() {
        Proof::Complete
    } else {
        Proof::Incomplete(format!("the server referred us elsewhere for `{}`", hidden.join("`, `")))
    };
    if moved && proof == Proof::Complete {
        proof = Proof::Incomplete("a selected container was renamed or moved while it was read".to_owned());
    }
    if crossed > 0 && proof == Proof::Complete {
        proof = Proof::Incomplete(format!(
            "{crossed} objects were renamed or moved while the containers were read"
        ));
    }
    let lost =
        known.is_some_and(|known| known.replicates) && mark.as_ref().is_none_or(|mark| !mark.replicates);
    if lost && !settings.without_dirsync && proof == Proof::Complete {
        proof = Proof::Incomplete(
            "the account has lost the right to replicate directory changes and may see less than before; where that \
             is meant, set `without_dirsync = true`"
                .to_owned(),
        );
    }
    Ok(ImportEnd { proof, watermark: mark.map(|mark| mark.write()), remarks })
}

/// Takes the point from which the next delta import goes on, before anything is read.
async fn begin(
    server: &mut Server,
    base: &str,
    remarks: &mut Vec<String>,
) -> Result<Option<Mark>, ConnectorError> {
    let invocation = server.invocation().await?;
    let (cookie, replicates) = match server.cookie(base, DELTA_FLAGS).await? {
        Ok(cookie) => (cookie, true),
        Err(error) if is_missing_right(&error) => {
            match server.cookie(base, DELTA_FLAGS | DirSync::OBJECT_SECURITY).await? {
                Ok(cookie) => (cookie, false),
                Err(error) if is_refusal(&error) => {
                    remarks.push(format!("no delta imports: DirSync was refused ({error})"));
                    return Ok(None);
                }
                Err(error) => return Err(convert(&error, &server.address)),
            }
        }
        Err(error) => return Err(convert(&error, &server.address)),
    };
    let mut mark = Mark::new(&cookie, &server.host, invocation, server.root.usn);
    mark.replicates = replicates;
    mark.made = server.root.now;
    Ok(Some(mark))
}

/// What is to be known of this import where DirSync is never asked: no delta import goes on from it.
async fn without_cookie(server: &mut Server) -> Result<Mark, ConnectorError> {
    let invocation = server.invocation().await?;
    let mut mark = Mark::new(&[], &server.host, invocation, server.root.usn);
    mark.made = server.root.now;
    Ok(mark)
}

/// Where DirSync is asked what was renamed or moved since.
pub struct Since<'c> {
    pub flags: i32,
    pub cookie: &'c [u8],
    pub filter: Filter,
}

impl Since<'_> {
    /// How many objects of the names asked for were renamed or moved.
    ///
    /// # Errors
    /// When the connection fails or the server refuses.
    pub async fn moves(
        self,
        server: &mut Server,
        base: &str,
        mut counts: impl FnMut(&str) -> bool,
    ) -> Result<usize, ConnectorError> {
        let mut cookie = bytes::Bytes::copy_from_slice(self.cookie);
        let mut moves = 0;
        loop {
            let control = DirSync { flags: self.flags, bytes_max: DIR_SYNC_BYTES_MAX, cookie };
            let request = SearchRequest::new(base, Scope::Subtree, self.filter.clone())
                .attributes(["name", "objectclass", "isdeleted"])
                .control(control.to_control());
            let address = server.address.clone();
            let failed = |error: LdapError| convert(&error, &address);
            let mut search = server.main().await?.search(request).await.map_err(failed)?;
            while let Some(item) = search.next().await.map_err(failed)? {
                if let SearchItem::Entry(entry) = item
                    && is_renamed(&entry)
                    && entry.first("isDeleted").is_none()
                    && counts(reader::plain_name(entry.dn()))
                {
                    moves += 1;
                }
            }
            let done = search.finish().await.map_err(failed)?;
            match DirSync::find(&done.controls).ok().flatten() {
                Some(mark) if mark.has_more() => cookie = mark.cookie,
                _ => return Ok(moves),
            }
        }
    }
}

fn is_missing_right(error: &LdapError) -> bool {
    error.class() == LdapClass::Permission
}

fn is_refusal(error: &LdapError) -> bool {
    matches!(error.class(), LdapClass::Permission | LdapClass::Unsupported | LdapClass::Refused)
}

struct Query<'q> {
    base: &'q str,
    page_size: i32,
}

impl Query<'_> {
    /// Reads one container to its end.
    async fn run(
        &self,
        server: &mut Server,
        layout: &Layout,
        containers: &mut Containers,
        output: &mut Output,
        hidden: &mut Vec<String>,
    ) -> Result<(), ConnectorError> {
        let (client, mut side) = server.both().await?;
        let address = side.address().to_owned();
        let failed = |error: LdapError| convert(&error, &address);
        let request = SearchRequest::new(self.base, Scope::Subtree, layout.filter())
            .attributes(layout.attributes())
            .control(extended_names());
        let mut search = client.search_paged(request, self.page_size).await.map_err(failed)?;
        while let Some(item) = search.next().await.map_err(failed)? {
            match item {
                SearchItem::Entry(entry) => {
                    if containers.contain(reader::plain_name(entry.dn()))
                        && let Some(read) = reader::whole(&entry, layout)
                    {
                        output.push_read(read, &mut side).await?;
                    }
                }
                SearchItem::Reference(urls) => {
                    hidden.extend(
                        urls.into_iter()
                            .filter(|url| referral_name(url).is_some_and(|name| containers.hides(&name))),
                    );
                }
                SearchItem::Intermediate { .. } => {}
            }
        }
        Ok(())
    }
}

/// The name in `ldap://host/DC=child,DC=x??base`.
fn referral_name(url: &str) -> Option<Dn> {
    let (_, path) = url.split_once("://")?.1.split_once('/')?;
    let name = path.split('?').next()?.replace("%20", " ").replace("%2C", ",").replace("%2c", ",");
    Dn::parse(&name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_referrals() {
        let name = |url| referral_name(url).map(|dn| dn.to_string());
        assert_eq!(name("ldap://child.x/DC=child,DC=x??base").as_deref(), Some("DC=child,DC=x"));
        assert_eq!(name("ldap://x/OU=a%20b,DC=x").as_deref(), Some("OU=a b,DC=x"));
        assert_eq!(name("ldap://x"), None);
    }
}
