//! Measures reading LDIF: `cargo run --release -p onesync-connectors --example ldif_speed -- [FILE]`; without a file
//! a made-up company is written to one first.
//!
//! Prints the lines alone (parse), and a whole import with the attributes that the built-in schema knows.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::Instant;

use onesync_connectors::ldif::{LdifConnector, LdifSettings, Line, Lines};
use onesync_connectors::{
    Connector, ImportMode, ImportRequest, PAGES_IN_FLIGHT, SelectedAttribute, SelectedType, Selection,
    ad_schema,
};
use onesync_model::Names;
use onesync_testkit::generate::{Company, CompanyOptions};
use tokio::sync::mpsc;

/// Entries in a page, as the service asks for.
const PAGE_SIZE: usize = 1_000;

/// Objects of the made-up company.
const OBJECTS: usize = 100_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = match std::env::args_os().nth(1) {
        Some(path) => PathBuf::from(path),
        None => {
            let path = folder.path().join("company.ldif");
            let options = CompanyOptions { objects: OBJECTS, ..CompanyOptions::default() };
            Company::new(options).write_ldif(&mut BufWriter::new(File::create(&path)?))?;
            path
        }
    };
    let bytes = std::fs::metadata(&path)?.len() as f64;

    let start = Instant::now();
    let mut lines = Lines::new(File::open(&path)?, 0, 1);
    let mut records = 0_u64;
    loop {
        match lines.next()? {
            Line::End => break,
            Line::Attribute { name: b"dn", .. } => records += 1,
            _ => {}
        }
    }
    report("lines", records, bytes, start);

    let settings = LdifSettings { paths: vec![path], ..LdifSettings::default() };
    let connector = LdifConnector::new(settings)?;
    let request = ImportRequest {
        mode: ImportMode::Full { resume: None },
        selection: selection(),
        known: None,
        containers: None,
        page_size: PAGE_SIZE,
    };
    let start = Instant::now();
    let (sender, mut receiver) = mpsc::channel::<onesync_connectors::ImportPage>(PAGES_IN_FLIGHT);
    let count = async {
        let mut entries = 0;
        while let Some(page) = receiver.recv().await {
            entries += page.entries.len() as u64;
        }
        entries
    };
    let (end, entries) = tokio::join!(connector.import(request, sender), count);
    println!("{:?}", end?.proof);
    report("import", entries, bytes, start);
    Ok(())
}

fn selection() -> Selection {
    let mut names = Names::new();
    let schema = ad_schema::discovered();
    let types = schema.types.iter().map(|of| SelectedType {
        id: names.intern_type(&of.name),
        name: of.name.clone(),
        attributes: ad_schema::attributes()
            .filter(|attribute| of.attributes.iter().any(|name| name == attribute.name))
            .map(|attribute| SelectedAttribute {
                id: names.intern(attribute.name),
                name: attribute.name.to_owned(),
                kind: attribute.kind,
                multi: attribute.multi,
            })
            .collect(),
    });
    Selection { types: types.collect() }
}

fn report(what: &str, count: u64, bytes: f64, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let (rate, speed) = (count as f64 / seconds, bytes / seconds / 1e6);
    println!("{what}: {count} in {seconds:.2} s, {rate:.0}/s, {speed:.0} MB/s");
}
