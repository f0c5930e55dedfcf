//! The Graph connector against the simulator, over HTTP. Every test ends with the judgement of all its traffic
//! against the OpenAPI description.

mod conformance;
mod export;
mod faults;
mod import;
mod lab;
mod links;
mod protect;
mod sign_in;
