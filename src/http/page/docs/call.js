// The form for one call of the API: its fields, the request, and the answer as it arrives. A stream is shown until it is stopped.
import { element, prose } from "./element.js";

/** Maximum number of characters of an answer to show; of a longer one, the end is shown. */
const MAX_SHOWN = 200_000;

/** The headers of the answer to show. */
const SHOWN_HEADERS = ["content-type", "retry-after", "allow", "www-authenticate", "x-request-id"];

let number = 0;

/** A field with its label. */
function field(parameter, resolve) {
  const { name, required, description } = parameter;
  const schema = resolve(parameter.schema);
  const id = `field-${(number += 1)}`;
  const words = schema.enum ?? schema.oneOf?.map((one) => one.const);
  const attributes = { id, name, "data-in": parameter.in, "aria-describedby": `${id}-hint`, required };
  let control;
  if (words) control = element("select", attributes, ...["", ...words].map((word) => element("option", {}, word)));
  else control = element("input", { ...attributes, type: "text", autocomplete: "off", spellcheck: "false" });
  const hint = element("p", { class: "hint", id: `${id}-hint` }, ...prose(description));
  if (schema.type === "array") hint.append(" Several, separated by spaces.");
  control.dataset.many = schema.type === "array" ? "yes" : "";
  return [element("label", { for: id }, name, required ? " *" : ""), element("div", {}, control, hint)];
}

/** A selection among media types, with its label. */
function choice(label, words) {
  const id = `field-${(number += 1)}`;
  const select = element("select", { id }, ...words.map((word) => element("option", {}, word)));
  return [[element("label", { for: id }, label), select], select];
}

/** An example of a body, generated from its schema. */
export function example(schema, resolve, depth = 0) {
  const own = resolve(schema);
  if (own.example !== undefined) return own.example;
  if (own.const !== undefined) return own.const;
  if (own.default !== undefined && own.default !== null) return own.default;
  if (own.enum) return own.enum[0];
  if (own.oneOf) return example(own.oneOf[0], resolve, depth);
  if (own.anyOf) return example(own.anyOf[0], resolve, depth);
  const type = Array.isArray(own.type) ? own.type[0] : own.type;
  if (type === "object" && depth < 4) {
    const named = Object.entries(own.properties ?? {}).filter(([name]) => own.required?.includes(name));
    return Object.fromEntries(named.map(([name, property]) => [name, example(property, resolve, depth + 1)]));
  }
  if (type === "array") return own.items && depth < 3 ? [example(own.items, resolve, depth + 1)] : [];
  return { integer: own.minimum ?? 0, number: 0, boolean: false, null: null }[type] ?? "text";
}

/** The form for a call: `resolve` follows references, `key` returns the current key. */
export function form(method, path, operation, resolve, key) {
  const parameters = (operation.parameters ?? []).map(resolve);
  const fields = element("div", { class: "fields" });
  let type, body;
  const bodies = resolve(operation.requestBody ?? {}).content;
  if (bodies) {
    let row;
    [row, type] = choice("Content type", Object.keys(bodies));
    const id = `field-${(number += 1)}`;
    body = element("textarea", { id, spellcheck: "false" });
    const show = () => {
      const chosen = bodies[type.value];
      const shown = chosen.example ?? example(chosen.schema, resolve);
      body.value = typeof shown === "string" ? shown : JSON.stringify(shown, null, 2);
    };
    type.addEventListener("change", show);
    show();
    fields.append(...row, element("label", { for: id }, "Body"), body);
  }
  for (const parameter of parameters) fields.append(...field(parameter, resolve));
  let accept;
  const good = Object.entries(operation.responses).find(([status]) => status.startsWith("2"))?.[1];
  const types = Object.keys(resolve(good ?? {}).content ?? {});
  // The stream first, because it is the default of the API.
  types.sort((one, other) => other.endsWith("event-stream") - one.endsWith("event-stream"));
  if (types.length > 1 && !types.includes("text/html")) {
    let row;
    [row, accept] = choice("Accept", types);
    fields.append(...row);
  }
  const send = element("button", { class: "main", type: "submit" }, "Send");
  const stop = element("button", { class: "small", type: "button", disabled: true }, "Stop");
  const copy = element("button", { class: "small", type: "button" }, "Copy as curl");
  const state = element("p", { class: "state-line", role: "status" });
  const output = element("pre", { class: "output", tabindex: "0", "aria-label": "Answer", hidden: true });
  const made = element("form", { ".noValidate": true }, fields, element("p", { class: "actions" }, send, stop, copy, state), output);

  function request() {
    let target = path.slice(1);
    const query = new URLSearchParams();
    const headers = new Headers();
    for (const control of fields.querySelectorAll("[data-in]")) {
      const value = control.value.trim();
      if (control.dataset.in === "path") {
        if (!value) throw new Error(`${control.name} is required, because it is part of the path`);
        target = target.replace(`{${control.name}}`, encodeURIComponent(value));
      } else if (value && control.dataset.in === "query") {
        for (const one of control.dataset.many ? value.split(/[\s,]+/) : [value]) query.append(control.name, one);
      } else if (value) headers.set(control.name, value);
    }
    if (key() && operation.security?.length) headers.set("Authorization", `Bearer ${key()}`);
    if (accept) headers.set("Accept", accept.value);
    if (body?.value) headers.set("Content-Type", type.value);
    const options = { method: method.toUpperCase(), headers, cache: "no-store", body: body?.value || undefined };
    return [query.size ? `${target}?${query}` : target || "./", options];
  }

  let running;
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const own = (running = new AbortController());
    output.hidden = true;
    stop.disabled = false;
    try {
      const [target, options] = request();
      state.textContent = "Waiting for the answer";
      const answer = await fetch(target, { ...options, signal: own.signal });
      state.textContent = `${answer.status} ${answer.statusText}`;
      output.hidden = false;
      const told = SHOWN_HEADERS.filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}\n`);
      await show(answer, `${told.join("")}\n`, output);
    } catch (error) {
      if (own === running) state.textContent = own.signal.aborted ? `${state.textContent}, stopped` : error.message;
    } finally {
      if (own === running) stop.disabled = true;
    }
  });
  stop.addEventListener("click", () => running?.abort());
  copy.addEventListener("click", async () => {
    try {
      const [target, options] = request();
      await navigator.clipboard.writeText(command(new URL(target, document.baseURI), options));
      state.textContent = options.headers.has("Authorization") ? "Copied; set KEY to your key first" : "Copied";
    } catch (error) {
      state.textContent = error.message;
    }
  });
  return made;
}

/** The request as a command for a shell. The key is a variable, so that it gets into no history of commands. */
function command(url, { method, headers, body }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const words = ["curl", "-N"];
  if (method === "HEAD") words.push("--head");
  else if (method !== "GET") words.push("-X", method);
  for (const [name, value] of headers) {
    if (name === "authorization") words.push("-H", '"Authorization: Bearer $KEY"');
    else words.push("-H", quoted(`${name}: ${value}`));
  }
  if (body !== undefined) words.push("--data-binary", quoted(body));
  return [...words, quoted(url.href)].join(" ");
}

/** Shows an answer as it arrives. A complete JSON answer is then formatted. */
async function show(answer, head, output) {
  const decoder = new TextDecoder();
  let text = "";
  output.textContent = head;
  const reader = answer.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) break;
    text = (text + decoder.decode(value, { stream: true })).slice(-MAX_SHOWN);
    const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 20;
    output.textContent = head + text;
    if (atEnd) output.scrollTop = output.scrollHeight;
  }
  if (/^application\/(problem\+)?json/.test(answer.headers.get("content-type") ?? "") && text.length < MAX_SHOWN) {
    try {
      output.textContent = head + JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // Not JSON: leave it unformatted.
    }
  }
}
