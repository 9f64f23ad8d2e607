// The documentation page: shows the OpenAPI document at openapi.json, with a form for each call.
import { element, prose } from "./element.js";
import { form } from "./call.js";

const calls = document.querySelector("#calls");
const key = () => document.querySelector("#key").value.trim();

/** Returns a function that follows references in the document. */
function resolver(whole) {
  return function resolve(value) {
    const name = value?.$ref;
    if (typeof name !== "string") return value ?? {};
    const found = name.split("/").slice(1).reduce((at, part) => at?.[part], whole) ?? {};
    return resolve(found);
  };
}

/** A schema in a few words. */
function kind(schema) {
  if (schema === true || !schema) return "anything";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" or ");
  const several = schema.anyOf ?? schema.oneOf;
  if (several) return several.map(kind).join(" or ");
  if (schema.allOf) return kind(schema.allOf[0]);
  const types = [schema.type ?? "anything"].flat().map((type) => (type === "array" ? `list of ${kind(schema.items)}` : type));
  return types.join(" or ");
}

function answers(operation, resolve) {
  const list = element("ul", { class: "answers" });
  for (const [status, response] of Object.entries(operation.responses)) {
    const { description, content = {} } = resolve(response);
    const types = Object.entries(content).map(([type, { schema }]) => `${type}: ${kind(schema)}`);
    const about = element("span", {}, ...prose(description));
    list.append(element("li", {}, element("code", {}, status), about, element("span", { class: "hint" }, types.join(", "))));
  }
  return list;
}

function call(method, path, operation, resolve) {
  const made = element("details", { id: operation.operationId },
    element("summary", {},
      element("code", { class: `method ${method}` }, method.toUpperCase()),
      element("code", {}, path),
      element("span", { class: "about" }, operation.summary)));
  // Created when it is opened, because there are many.
  made.addEventListener("toggle", () => {
    made.append(element("div", { class: "inside" },
      element("p", {}, ...prose(operation.description)),
      element("h3", {}, "Try it"),
      form(method, path, operation, resolve, key),
      element("h3", {}, "Answers"),
      answers(operation, resolve)));
  }, { once: true });
  return made;
}

function shape(name, schema) {
  const made = element("details", { id: `schema-${name}` }, element("summary", {}, element("code", {}, name)));
  const inside = element("div", { class: "inside" }, element("p", {}, ...prose(schema.description)));
  const variants = schema.oneOf ?? [schema];
  for (const { properties, required = [], ...variant } of variants) {
    if (!properties) {
      inside.append(element("p", {}, kind(variant), ". ", ...prose(variant === schema ? "" : variant.description)));
      continue;
    }
    const rows = Object.entries(properties).map(([property, own]) => element("tr", {},
      element("td", {}, element("code", {}, property), required.includes(property) ? "" : " (may be absent)"),
      element("td", {}, kind(own)),
      element("td", {}, ...prose(own.description))));
    const titles = ["Name", "Type", "Meaning"].map((title) => element("th", { scope: "col" }, title));
    inside.append(element("table", {}, element("thead", {}, element("tr", {}, ...titles)), element("tbody", {}, ...rows)));
  }
  made.append(inside);
  return made;
}

async function start() {
  const answer = await fetch("openapi.json", { cache: "no-store" });
  if (!answer.ok) throw new Error(`openapi.json: the server answered ${answer.status}`);
  const whole = await answer.json();
  const resolve = resolver(whole);
  const { title, version, description } = whole.info;
  const link = element("a", { href: "openapi.json" }, "openapi.json");
  calls.append(element("p", {}, `${title} ${version}. `, ...prose(description), " For programs: ", link, "."));
  for (const { name, description: about } of whole.tags) {
    calls.append(element("h2", {}, name[0].toUpperCase() + name.slice(1)), element("p", { class: "hint" }, ...prose(about)));
    for (const [path, methods] of Object.entries(whole.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (operation.tags.includes(name)) calls.append(call(method, path, operation, resolve));
      }
    }
  }
  calls.append(element("h2", {}, "Bodies"));
  for (const [name, schema] of Object.entries(whole.components.schemas)) calls.append(shape(name, schema));
  const wanted = document.getElementById(location.hash.slice(1));
  if (wanted instanceof HTMLDetailsElement) wanted.open = true;
}

start().catch((error) => {
  const place = document.querySelector("#error");
  place.textContent = error.message;
  place.hidden = false;
});
