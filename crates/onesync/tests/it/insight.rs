//! `preview` and `explain` as people run them. The worked example of docs/explain.md is run as it stands there.

use std::path::Path;

use onesync_graphsim::GraphSim;

use crate::program::{CLOUD_SECRET, Setup, cloud, leave_staging};

const DOCUMENT: &str = "../../docs/explain.md";
const SOURCE: &str =
    "name = \"directory\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = \"../directory.ldif\"\n";

/// The blocks of a language in a text of Markdown.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}\n");
    text.split(&open).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Times are different each time; ids of runs are not.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let length = from.find('Z').map_or(0, |end| end + 1);
        let time = &from[..length];
        let is_time = time.len() >= 20
            && time.as_bytes().get(4) == Some(&b'-')
            && time.as_bytes().get(10) == Some(&b'T');
        if is_time && time.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ".contains(&b)) {
            out.push_str("TIME");
            rest = &from[length..];
        } else {
            out.push_str("20");
            rest = &from[2..];
        }
    }
    out.push_str(rest);
    out
}

/// The installation of the example: everybody is in the cloud, then Ada changes her department.
async fn example(ldif: &[String]) -> (Setup, onesync_graphsim::judged::Judged) {
    let sim = GraphSim::builder().judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    let file = setup.path().join("directory.ldif");
    std::fs::write(&file, &ldif[0]).unwrap();
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    setup.run(&["cycle"]).await.ends_with(0);
    std::fs::write(&file, ldif[0].replace("department: Sales", "department: Research")).unwrap();
    setup.run(&["run", "directory", "full-import"]).await.ends_with(0);
    (setup, sim)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worked_example_is_what_is_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let document = std::fs::read_to_string(&path).unwrap();
    let (setup, _sim) = example(&blocks(&document, "ldif")).await;
    let mut printed = document.clone();
    for block in blocks(&document, "console") {
        let (command, _) = block.split_once('\n').unwrap();
        let words = command.strip_prefix("$ onesync ").unwrap();
        let mut arguments: Vec<&str> = Vec::new();
        for (index, part) in words.split('"').enumerate() {
            if index % 2 == 1 { arguments.push(part) } else { arguments.extend(part.split_whitespace()) }
        }
        let ended = setup.run(&arguments).await.ends_with(0);
        let new = format!("{command}\n{}", without_times(&ended.out));
        printed = printed.replace(&block, &new);
    }
    if std::env::var_os("ONESYNC_WRITE_DOCS").is_some() {
        std::fs::write(&path, printed).unwrap();
    } else {
        assert_eq!(printed, document, "ONESYNC_WRITE_DOCS=1 writes {}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_the_same_as_json_and_mistakes_have_a_remedy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let (setup, _sim) = example(&blocks(&std::fs::read_to_string(path).unwrap(), "ldif")).await;
    let preview =
        setup.run(&["preview", "directory", "ada@contoso.com", "--format", "json"]).await.ends_with(0);
    let preview = preview.json();
    let pending = &preview["targets"][0]["pending"]["values"];
    assert_eq!(pending[0]["after"], "Research", "{pending}");
    assert_eq!(preview["metaverse"][0]["change"], "stays");
    let why = setup.run(&["explain", "ada@contoso.com", "department", "--format", "json"]).await.ends_with(0);
    assert_eq!(why.json()["attributes"][0]["from"][0]["configuration"], 1);
    for (arguments, says) in [
        (["preview", "nowhere", "ada"].as_slice(), "connectors are: directory, entra"),
        (&["preview", "directory", "nobody@contoso.com"], "search cs directory"),
        (&["preview", "directory", "contoso.com"], "cs:NUMBER"),
        (&["explain", "nobody@contoso.com"], "search mv"),
        (&["explain", "ada@contoso.com", "departmnet"], "did you mean `department`"),
    ] {
        let ended = setup.run(arguments).await.ends_with(2);
        assert!(ended.err.contains(says), "{arguments:?}: {}", ended.err);
    }
}
