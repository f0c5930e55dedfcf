//! What an export promises.

use onesync_model::{Value, Values};

use super::observed::observe;
use super::{DirectoryDriver, Report, Shape, TestObject};
use crate::{
    Anchor, Connector, CreateKey, ErrorClass, ExportBatch, ExportItem, ExportOutcome, ExportResult,
    ImportMode, LinkExport, Marker, Operation, Pass,
};

const FULL: ImportMode = ImportMode::Full { resume: None };
const LARGE_PAGE: usize = 1_000;

/// Exports, on a directory that is emptied first.
pub async fn check(connector: &dyn Connector, driver: &dyn DirectoryDriver, report: &mut Report) {
    let suite = Suite { connector, driver, shape: driver.shape() };
    driver.hold(&[]).await;
    report.note("empty batch", suite.empty().await);
    report.note("create, find, change, link, delete", suite.life().await);
    if driver.lose_next_answer().await {
        report.note("lost answer", suite.lost_answer().await);
    } else {
        report.skip("lost answer", "the driver cannot arrange it");
    }
}

/// A connector that only reads says so, and that it is the configuration that is wrong.
pub async fn refused(connector: &dyn Connector) -> Result<(), String> {
    match connector.export(ExportBatch { items: Vec::new(), pass: Pass::unchecked(1), seed: [0; 32] }).await {
        Err(error) if error.class == ErrorClass::Configuration => Ok(()),
        other => Err(format!("an export gives {other:?}")),
    }
}

/// A marker that was set is read.
pub async fn marker(connector: &dyn Connector) -> Result<(), String> {
    let mut session = None;
    for epoch in [1, 2] {
        let taken = Some(format!("taken{epoch}"));
        let marker = Marker {
            taken,
            number: 10 * epoch,
            session: session.clone(),
            ..Marker::new("conformance", epoch)
        };
        connector.set_marker(&marker).await.map_err(|error| error.to_string())?;
        read_back(connector, &marker).await?;
        // Each is written without the other. A session is begun by whoever has taken it.
        session = Some(format!("{epoch}-a-b"));
        let taken = marker.taken.clone();
        let other = Marker { session: session.clone(), taken, ..Marker::new("other", 9) };
        connector.set_session(&other).await.map_err(|error| error.to_string())?;
        read_back(connector, &Marker { session: session.clone(), ..marker }).await?;
    }
    // Of a program that makes no more than that.
    connector.set_marker(&Marker::new("conformance", 3)).await.map_err(|error| error.to_string())?;
    read_back(connector, &Marker { session, ..Marker::new("conformance", 3) }).await
}

async fn read_back(connector: &dyn Connector, marker: &Marker) -> Result<(), String> {
    let found = connector.marker().await.map_err(|error| error.to_string())?;
    if found.as_ref() == Some(marker) {
        Ok(())
    } else {
        Err(format!("{marker:?} was set, {found:?} is read"))
    }
}

struct Suite<'a> {
    connector: &'a dyn Connector,
    driver: &'a dyn DirectoryDriver,
    shape: Shape,
}

impl Suite<'_> {
    async fn empty(&self) -> Result<(), String> {
        let results = self.export(Vec::new()).await?;
        if results.is_empty() { Ok(()) } else { Err(format!("no items give {} results", results.len())) }
    }

    async fn life(&self) -> Result<(), String> {
        let (anna, bert, team) =
            (TestObject::person("anna"), TestObject::person("bert"), TestObject::group("staff", &[]));
        let created = self.export([&anna, &bert, &team].map(|object| self.add(object)).into()).await?;
        let anchors = created.iter().map(created_anchor).collect::<Result<Vec<_>, _>>()?;
        let [a, b, t] = anchors.as_slice() else { return Err("three items, other results".to_owned()) };
        self.expect(&[&anna, &bert, &team]).await?;

        let keys = [&bert, &TestObject::person("nobody"), &anna].map(|object| self.key(object));
        let found = self.connector.find_created(&keys).await.map_err(|error| error.to_string())?;
        if found != [Some(b.clone()), None, Some(a.clone())] {
            return Err(format!("by their create keys {found:?} are found"));
        }
        if let [again] = self.export(vec![self.add(&anna)]).await?.as_slice()
            && matches!(again.outcome, ExportOutcome::Done { .. })
        {
            return Err("one create key makes two objects".to_owned());
        }

        let renamed = TestObject { text: "other text of anna".to_owned(), ..anna.clone() };
        let unknown = Anchor::text("00000000-0000-0000-0000-000000000000");
        let results = self
            .export(vec![self.change(a, &renamed), self.change(&unknown, &bert), self.change(a, &renamed)])
            .await?;
        match results.outcomes().as_slice() {
            [ExportOutcome::Done { .. }, ExportOutcome::Gone, ExportOutcome::Done { .. }] => {}
            other => return Err(format!("a change, one of a stranger, and the first again give {other:?}")),
        }
        self.expect(&[&renamed, &bert, &team]).await?;

        let both = TestObject { members: vec!["anna".to_owned(), "bert".to_owned()], ..team.clone() };
        self.all_done(vec![self.link(t, vec![a.clone(), b.clone()], Vec::new())]).await?;
        self.expect(&[&renamed, &bert, &both]).await?;
        let one = TestObject { members: vec!["bert".to_owned()], ..team.clone() };
        self.all_done(vec![self.link(t, Vec::new(), vec![a.clone()])]).await?;
        self.expect(&[&renamed, &bert, &one]).await?;

        self.all_done(vec![self.link(t, Vec::new(), vec![b.clone()]), self.delete(b, &bert)]).await?;
        self.expect(&[&renamed, &team]).await?;
        match self.export(vec![self.delete(b, &bert)]).await?.outcomes().as_slice() {
            [ExportOutcome::Gone] => Ok(()),
            other => Err(format!("deleting what is deleted gives {other:?}")),
        }
    }

    /// A lost answer is unknown, and the create key shows that the object is there.
    async fn lost_answer(&self) -> Result<(), String> {
        let clara = TestObject::person("clara");
        let results = self.export(vec![self.add(&clara)]).await?;
        if !matches!(results.outcomes().as_slice(), [ExportOutcome::Unknown(_)]) {
            return Err(format!("a lost answer gives {results:?}"));
        }
        let found =
            self.connector.find_created(&[self.key(&clara)]).await.map_err(|error| error.to_string())?;
        if matches!(found.as_slice(), [Some(_)]) {
            Ok(())
        } else {
            Err("what was created is not found".to_owned())
        }
    }

    async fn export(&self, items: Vec<ExportItem>) -> Result<Vec<ExportResult>, String> {
        let count = items.len();
        let results =
            self.connector.export(ExportBatch { items, pass: Pass::unchecked(1), seed: [7; 32] }).await;
        let results = results.map_err(|error| format!("an export failed: {error}"))?;
        if results.len() == count {
            Ok(results)
        } else {
            Err(format!("{count} items give {} results", results.len()))
        }
    }

    async fn all_done(&self, items: Vec<ExportItem>) -> Result<(), String> {
        let results = self.export(items).await?;
        let done = |result: &ExportResult| {
            matches!(result.outcome, ExportOutcome::Done { .. }) && result.refused.is_empty()
        };
        if results.iter().all(done) {
            Ok(())
        } else {
            Err(format!("not everything was written: {results:?}"))
        }
    }

    async fn expect(&self, objects: &[&TestObject]) -> Result<(), String> {
        let objects: Vec<_> = objects.iter().map(|&object| object.clone()).collect();
        observe(self.connector, &self.shape, FULL, LARGE_PAGE).await?.expect(&objects)
    }

    fn key(&self, object: &TestObject) -> CreateKey {
        let object_type = self.shape.type_of(object.is_group).id;
        CreateKey { object_type, key: self.driver.create_key(&object.name) }
    }

    fn item(&self, operation: Operation, anchor: Option<&Anchor>, is_group: bool) -> ExportItem {
        ExportItem {
            operation,
            object_type: self.shape.type_of(is_group).id,
            anchor: anchor.cloned(),
            create_key: None,
            values: Vec::new(),
            links: Vec::new(),
        }
    }

    fn add(&self, object: &TestObject) -> ExportItem {
        ExportItem {
            create_key: Some(self.driver.create_key(&object.name)),
            values: self.driver.create_values(object),
            ..self.item(Operation::Add, None, object.is_group)
        }
    }

    fn change(&self, anchor: &Anchor, object: &TestObject) -> ExportItem {
        let values = Some(Values::one(Value::string(&object.text)));
        ExportItem {
            values: vec![(self.shape.text(object.is_group).id, values)],
            ..self.item(Operation::Update, Some(anchor), object.is_group)
        }
    }

    fn link(&self, anchor: &Anchor, add: Vec<Anchor>, remove: Vec<Anchor>) -> ExportItem {
        let links = vec![LinkExport { attribute: self.shape.member().id, add, remove }];
        ExportItem { links, ..self.item(Operation::Update, Some(anchor), true) }
    }

    fn delete(&self, anchor: &Anchor, object: &TestObject) -> ExportItem {
        self.item(Operation::Delete, Some(anchor), object.is_group)
    }
}

/// The anchor of an object that was created.
fn created_anchor(result: &ExportResult) -> Result<Anchor, String> {
    match &result.outcome {
        ExportOutcome::Done { anchor: Some(anchor) } if result.refused.is_empty() => Ok(anchor.clone()),
        _ => Err(format!("an object was not created: {result:?}")),
    }
}

/// The outcomes alone, for comparing.
trait Outcomes {
    fn outcomes(&self) -> Vec<&ExportOutcome>;
}

impl Outcomes for Vec<ExportResult> {
    fn outcomes(&self) -> Vec<&ExportOutcome> {
        self.iter().map(|result| &result.outcome).collect()
    }
}
