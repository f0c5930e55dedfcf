//! Many evaluations: JSON lines, or one JSON array, of requests; one line of JSON for each, whatever it is.

use std::io::{self, BufRead, Read as _};

use serde_json::{Map, Value as Json, json};

use crate::error::ServiceError;
use crate::evaluate::{Evaluation, eval, eval_kind, eval_time, names_once};

/// A line that is longer is no request: the largest expression and attributes of real objects are far smaller.
const LINE_MAX: usize = 16 * 1024 * 1024;

/// What [`eval_batch`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchReport {
    /// How many results were written.
    pub results: usize,
    /// How many of them are of lines that are no requests.
    pub no_requests: usize,
}

/// Evaluates each request of `input` and gives its result to `write`, in order. `defaults` has what a request does
/// not say; its expression and attributes are not used.
///
/// A line that is no request gives an error as its result, and the next is read. Empty lines at the end give none.
///
/// # Errors
/// When the input cannot be read, or a result not be written.
pub fn eval_batch(
    input: &mut dyn BufRead,
    defaults: &Evaluation,
    write: &mut dyn FnMut(&Json) -> io::Result<()>,
) -> io::Result<BatchReport> {
    let mut report = BatchReport::default();
    let mut empty = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let long = !read_line(input, &mut line)?;
        if line.is_empty() && !long {
            return Ok(report);
        }
        if line.starts_with(b"\xef\xbb\xbf") && report.results + empty == 0 {
            line.drain(..3);
        }
        if line.trim_ascii().is_empty() && !long {
            empty += 1;
            continue;
        }
        if report.results == 0 && line.trim_ascii_start().starts_with(b"[") {
            input.read_to_end(&mut line)?;
            return array(&line, defaults, write);
        }
        for _ in 0..std::mem::take(&mut empty) {
            report.add(Err("the line is empty".to_owned()), write)?;
        }
        let request = if long {
            Err(format!("the line is longer than {LINE_MAX} bytes"))
        } else {
            serde_json::from_slice(&line)
                .map_err(|error| format!("the line is no JSON: {error}"))
                .and_then(|json| names_once(&line).map(|()| json))
        };
        report.add(request.and_then(|json| answer(&json, defaults)), write)?;
    }
}

/// Reads a line with its end; false, with the rest of it skipped, when it is too long.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    input.take(LINE_MAX as u64).read_until(b'\n', line)?;
    if line.len() < LINE_MAX || line.ends_with(b"\n") {
        return Ok(true);
    }
    line.clear();
    input.skip_until(b'\n')?;
    Ok(false)
}

fn array(
    text: &[u8],
    defaults: &Evaluation,
    write: &mut dyn FnMut(&Json) -> io::Result<()>,
) -> io::Result<BatchReport> {
    let mut report = BatchReport::default();
    match serde_json::from_slice::<Vec<Json>>(text) {
        Ok(requests) => {
            for request in &requests {
                report.add(answer(request, defaults), write)?;
            }
        }
        Err(error) => report.add(Err(format!("the file is no JSON array: {error}")), write)?,
    }
    Ok(report)
}

impl BatchReport {
    fn add(
        &mut self,
        result: Result<Json, String>,
        write: &mut dyn FnMut(&Json) -> io::Result<()>,
    ) -> io::Result<()> {
        self.results += 1;
        match result {
            Ok(value) => write(&value),
            Err(message) => {
                self.no_requests += 1;
                write(&json!({"$error": message}))
            }
        }
    }
}

/// The result of one request, or why it is none.
fn answer(request: &Json, defaults: &Evaluation) -> Result<Json, String> {
    let evaluation = evaluation(request, defaults).and_then(|evaluation| eval(&evaluation));
    Ok(evaluation.map_err(|error| error.to_string())?.value)
}

fn evaluation(request: &Json, defaults: &Evaluation) -> Result<Evaluation, ServiceError> {
    const FORM: &str = r#"write {"expression": text, "attributes": {...}, "parameters": {...}, "now": time, "kind": "inbound"}"#;
    let wrong = |what: &str| ServiceError::usage(format!("{what}: {FORM}"), FORM);
    let Some(request) = request.as_object() else { return Err(wrong("this is no JSON object")) };
    let text = |key: &str| match request.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(&format!("`{key}` is no text"))),
    };
    let object = |key: &str| match request.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Object(map)) => Ok(Some(map)),
        Some(_) => Err(wrong(&format!("`{key}` is no object"))),
    };
    let Some(expression) = text("expression")? else { return Err(wrong("there is no `expression`")) };
    // Files of examples call attributes `inputs`, and use `kind` for the kind of example.
    let attributes = object("attributes")?.or(object("inputs")?).cloned().unwrap_or_default();
    let meant = |kind: &&str| ["in", "out"].iter().any(|start| kind.to_ascii_lowercase().starts_with(start));
    let kind = text("kind")?.filter(meant).map_or(Ok(defaults.kind), eval_kind)?;
    let mut parameters: Map<String, Json> = defaults.parameters.clone();
    parameters.extend(object("parameters")?.cloned().unwrap_or_default());
    Ok(Evaluation {
        expression: expression.to_owned(),
        attributes,
        parameters,
        now: text("now")?.map_or(Ok(defaults.now), eval_time)?,
        kind,
        canonical: defaults.canonical,
    })
}

#[cfg(test)]
mod tests {
    use onesync_expr::Kind;
    use onesync_model::Time;

    use super::*;

    fn results(input: &[u8]) -> (Vec<Json>, BatchReport) {
        let defaults = Evaluation {
            expression: String::new(),
            attributes: Map::new(),
            parameters: json!({"P": "p"}).as_object().unwrap().clone(),
            now: Time::default(),
            kind: Kind::Inbound,
            canonical: false,
        };
        let mut out = Vec::new();
        let mut write = |json: &Json| {
            out.push(json.clone());
            Ok(())
        };
        let report = eval_batch(&mut &*input, &defaults, &mut write).unwrap();
        (out, report)
    }

    fn failed(json: &Json, with: &str) {
        assert!(json["$error"].as_str().is_some_and(|message| message.contains(with)), "{json}");
    }

    #[test]
    fn every_line_has_its_result() {
        let input = br#"{"expression": "[a] & %P%", "attributes": {"a": "x"}}

{"expression": "trim([a])"}
not json
{"expression": "Now()", "now": "2026-01-31T00:00:00Z", "parameters": {"P": 5}}
{"expression": "%P%", "parameters": {"P": 5}, "kind": "outbound"}
{"expression": "1", "kind": "outbond"}
{"expression": 1}
[1]
{"expression": "[a]", "attributes": {"a": {"x": 1}}}
"#;
        let mut input = input.to_vec();
        input.extend_from_slice(b"\xff\xfe\n{\"expression\": \"1+1\"}\n\n\n");
        let (out, report) = results(&input);
        assert_eq!(out.len(), 12);
        assert_eq!(out[0], json!("xp"));
        failed(&out[1], "empty");
        failed(&out[2], "did you mean `Trim`?");
        failed(&out[3], "no JSON");
        assert_eq!(out[4], json!({"$dt": "2026-01-31T00:00:00Z"}));
        assert_eq!(out[5], json!("5"));
        failed(&out[6], "no kind");
        failed(&out[7], "no text");
        failed(&out[8], "no JSON object");
        failed(&out[9], "`a`");
        failed(&out[10], "no JSON");
        assert_eq!(out[11], json!(2));
        assert_eq!(report, BatchReport { results: 12, no_requests: 7 });
        assert_eq!(results(b"").0, [] as [Json; 0]);
    }

    #[test]
    fn a_file_of_examples_is_taken_as_it_is() {
        let (out, report) = results(
            br#"
            [{"function": "Item", "expression": "Item([p],1)", "inputs": {"p": ["b", "a"]}, "expected": "b",
              "kind": "example", "dialect": "AADSync"},
             {"expression": "1", "kind": "oob-rule"}, {"expression": "1", "kind": "Inbound"}, 5]"#,
        );
        assert_eq!(out[0], json!("b"));
        assert_eq!(out[1], json!(1));
        failed(&out[2], "no kind");
        failed(&out[3], "no JSON object");
        assert_eq!(report, BatchReport { results: 4, no_requests: 2 });
        failed(&results(b"[{").0[0], "no JSON array");
    }

    #[test]
    fn a_line_without_end_is_one_error() {
        let mut input = vec![b'x'; LINE_MAX + 10];
        input.extend_from_slice(b"\n{\"expression\": \"1\"}");
        let (out, _) = results(&input);
        failed(&out[0], "longer");
        assert_eq!(out[1..], [json!(1)]);
    }
}
