//! How a route is described, and how that becomes an operation of OpenAPI.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::problems;
use crate::key::Scope;

/// What a request must show.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Nothing.
    Open,
    /// A key of any scope.
    AnyKey,
    /// A key with this scope.
    Key(Scope),
    /// A key that may subscribe, or a ticket.
    KeyOrTicket,
    /// GitHub's signature.
    Signature,
    /// The control socket; a key does not do.
    ControlSocket,
}

/// A value of the query or a header.
pub(super) struct Parameter {
    pub(super) place: &'static str,
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) schema: Value,
}

/// A body that is taken.
pub(super) struct Request {
    pub(super) required: bool,
    pub(super) content: Vec<(&'static str, Value)>,
}

/// A good answer: status, when it comes, and its types.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) content: Vec<(&'static str, Value)>,
}

/// A route.
pub(super) struct Operation {
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) access: Access,
    /// What the variable part of the path is, where it has one.
    pub(super) argument: Option<(&'static str, Value)>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) request: Option<Request>,
    pub(super) answers: Vec<Answer>,
    /// Beside those that go with access, body and path.
    pub(super) problems: &'static [u16],
}

impl Operation {
    /// As it stands below a path and a method.
    pub(super) fn json(self, method: &Method, path: &str) -> Value {
        let variable = path.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(name, _)| name);
        let mut responses = Map::new();
        for status in self.statuses(variable.is_some()) {
            responses.insert(status.to_string(), problems::reference(status));
        }
        for answer in &self.answers {
            let mut response = json!({
                "description": answer.about, "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
            });
            if !answer.content.is_empty() {
                response["content"] = content(&answer.content);
            }
            responses.insert(answer.status.to_string(), response);
        }
        // What the path names is not named again in the query.
        let own = self.parameters.iter().filter(|one| one.place != "query" || Some(one.name) != variable);
        let mut parameters: Vec<Value> = own.map(Parameter::json).collect();
        if let (Some(name), Some((about, schema))) = (variable, &self.argument) {
            let argument =
                json!({ "in": "path", "name": name, "required": true, "description": about, "schema": schema });
            parameters.insert(0, argument);
        }
        let mut operation = json!({
            "operationId": name(method, path),
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.description(),
            "security": self.access.security(),
            "parameters": parameters,
            "responses": responses,
        });
        if let Some(request) = &self.request {
            operation["requestBody"] = json!({ "required": request.required, "content": content(&request.content) });
        }
        operation
    }

    fn description(&self) -> String {
        let access = match self.access {
            Access::Open => "Needs no key.".to_owned(),
            Access::AnyKey => "Needs a key.".to_owned(),
            Access::Key(scope) => format!("Needs a key with the scope `{scope}`."),
            Access::KeyOrTicket => "Needs a key with the scope `subscribe`, or a ticket.".to_owned(),
            Access::Signature => "Needs GitHub's signature.".to_owned(),
            Access::ControlSocket => "Works on the control socket alone: with any key it is 403.".to_owned(),
        };
        format!("{} {access}", self.about).trim_start().to_owned()
    }

    /// All errors that the route may answer with.
    fn statuses(&self, has_variable: bool) -> Vec<u16> {
        let mut all = self.problems.to_vec();
        match self.access {
            Access::Open => {}
            // An unreadable query, an unknown parameter, and what stands between a request and its caller.
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

impl Access {
    fn security(self) -> Value {
        match self {
            Self::Open => json!([]),
            Self::AnyKey | Self::Key(_) | Self::ControlSocket => json!([{ "key": [] }]),
            Self::KeyOrTicket => json!([{ "key": [] }, { "ticket": [] }]),
            Self::Signature => json!([{ "signature": [] }]),
        }
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
    words.fold(method.as_str().to_ascii_lowercase(), |name, word| format!("{name}_{word}"))
}
