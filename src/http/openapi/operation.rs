//! How a route is described, and how that becomes an operation of OpenAPI. The access is not part of it: that comes from
//! the row of the route, which the dispatcher checks.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::problems;
use crate::http::auth::Access;

/// The group of the routes of ntfy's protocol, whose errors have its form.
pub(super) const NTFY: &str = "ntfy";

/// A variable part of a path: what it means, and its schema.
pub(super) type Argument = (&'static str, Value);

/// A value of the query or a header.
pub(super) struct Parameter {
    pub(super) place: &'static str,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) schema: Value,
}

pub(super) struct Request {
    pub(super) required: bool,
    pub(super) content: Vec<(&'static str, Value)>,
}

/// A successful answer: its status, what it means, and its media types.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) content: Vec<(&'static str, Value)>,
}

/// What a client may do next with a value of a successful answer: a parameter of another operation.
pub(super) struct Link {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// The `operationId`, and its parameters with expressions for their values.
    pub(super) operation: &'static str,
    pub(super) parameters: &'static [(&'static str, &'static str)],
}

pub(crate) struct Operation {
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    /// The first variable part of the path, if it has one.
    pub(super) argument: Option<Argument>,
    /// The second one.
    pub(super) second: Option<Argument>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) request: Option<Request>,
    pub(super) answers: Vec<Answer>,
    /// Statuses of errors, in addition to those that follow from access, body and path.
    pub(super) problems: &'static [u16],
    /// Of each successful answer.
    pub(super) links: &'static [Link],
}

impl Operation {
    /// The operation object for a path and a method.
    pub(super) fn json(self, method: &Method, path: &str, access: Access) -> Value {
        let variables: Vec<&str> =
            path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect();
        let responses = self.responses(access, !variables.is_empty());
        let in_path = variables.iter().zip([&self.argument, &self.second]).filter_map(|(name, argument)| {
            let (about, schema) = argument.as_ref()?;
            Some(json!({ "in": "path", "name": name, "required": true, "description": about, "schema": schema }))
        });
        // A topic in the path excludes the parameter of that name.
        let own = self.parameters.iter().filter(|one| one.place != "query" || !variables.contains(&one.name));
        let parameters: Vec<Value> = in_path.chain(own.map(Parameter::json)).collect();
        let mut operation = json!({
            "operationId": name(method, path),
            "tags": [self.tag],
            "summary": self.summary,
            "description": describe(self.about, access),
            "security": security(access),
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(request) = &self.request {
            operation["requestBody"] = json!({ "required": request.required, "content": content(&request.content) });
        }
        operation
    }

    fn responses(&self, access: Access, has_variable: bool) -> Map<String, Value> {
        let mut responses = Map::new();
        for status in self.statuses(access, has_variable) {
            let problem = match (self.tag, status) {
                (NTFY, 422) => continue,
                (NTFY, _) => problems::ntfy_reference(),
                _ => problems::reference(status),
            };
            responses.insert(status.to_string(), problem);
        }
        for answer in &self.answers {
            let mut response = json!({
                "description": answer.about, "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
            });
            if !answer.content.is_empty() {
                response["content"] = content(&answer.content);
            }
            if !self.links.is_empty() {
                response["links"] =
                    self.links.iter().map(|link| (link.name.to_owned(), link.json())).collect::<Map<_, _>>().into();
            }
            responses.insert(answer.status.to_string(), response);
        }
        responses
    }

    /// The statuses of all errors that the route may answer with.
    fn statuses(&self, access: Access, has_variable: bool) -> Vec<u16> {
        let mut all = self.problems.to_vec();
        match access {
            Access::Open => {}
            // An unreadable query, an unknown parameter, and the errors of authentication.
            Access::AnyKey => all.extend([400, 401, 422, 429, 503]),
            _ => all.extend([400, 401, 403, 422, 429, 503]),
        }
        if self.request.is_some() {
            all.extend([408, 413]);
        }
        if has_variable {
            all.push(404);
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn describe(about: &str, access: Access) -> String {
    let access = match access {
        Access::Open => "Needs no key.".to_owned(),
        Access::AnyKey => "Needs a key.".to_owned(),
        Access::Key(scope) => format!("Needs a key with the scope `{scope}`."),
        Access::Either(first, second) => format!("Needs a key with the scope `{first}` or the scope `{second}`."),
        Access::KeyOrTicket => "Needs a key with the scope `subscribe`, or a ticket.".to_owned(),
        Access::Signature => "Needs GitHub's signature.".to_owned(),
        Access::ControlSocket => {
            "Works only on the control socket; anywhere else the answer is 403, with any key.".to_owned()
        }
    };
    format!("{about} {access}").trim_start().to_owned()
}

fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::AnyKey | Access::Key(_) | Access::Either(..) | Access::ControlSocket => json!([{ "key": [] }]),
        Access::KeyOrTicket => json!([{ "key": [] }, { "ticket": [] }]),
        Access::Signature => json!([{ "signature": [] }]),
    }
}

impl Link {
    fn json(&self) -> Value {
        let Self { about, operation, parameters, .. } = self;
        let parameters: Map<_, _> = parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({ "operationId": operation, "parameters": parameters, "description": about })
    }
}

impl Parameter {
    fn json(&self) -> Value {
        let Self { place, name, about, schema } = self;
        json!({ "in": place, "name": name, "description": about, "schema": schema })
    }
}

fn content(types: &[(&str, Value)]) -> Value {
    types.iter().map(|(name, body)| ((*name).to_owned(), body.clone())).collect::<Map<_, _>>().into()
}

/// `get_alerts_topic` for `GET /alerts/{topic}`.
fn name(method: &Method, path: &str) -> String {
    let words = path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty());
    // Two paths that differ in a slash at the end have names of their own.
    let words = words.chain((path.len() > 1 && path.ends_with('/')).then_some("root"));
    words.fold(method.as_str().to_ascii_lowercase(), |name, word| format!("{name}_{word}"))
}
