"use strict";

/** Draws /openapi.json. Everything from outside becomes text, never markup. */

const METHODS = ["get", "put", "post", "delete"];

function element(name, text, attributes) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  return made;
}

function modelOf(schema) {
  return schema && schema.$ref ? schema.$ref.split("/").pop() : "";
}

/** A type in words: "integer from 1 to 10000", "list of HoldingRow", "text or null". */
function words(schema) {
  if (!schema) return "";
  const model = modelOf(schema);
  if (model) return model;
  if (schema.anyOf) return schema.anyOf.map(words).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return "list of " + (words(schema.items) || "anything");
  if (schema.type === "object") {
    return schema.additionalProperties && schema.additionalProperties !== true
      ? "object of " + words(schema.additionalProperties)
      : "object";
  }
  const parts = [schema.format || { string: "text" }[schema.type] || schema.type || "anything"];
  if (schema.minimum !== undefined) parts.push("from " + schema.minimum);
  if (schema.maximum !== undefined) parts.push("to " + schema.maximum);
  if (schema.maxLength !== undefined) parts.push("at most " + schema.maxLength + " characters");
  return parts.join(" ");
}

/** The type, with a link where it is a model. */
function typeCell(schema) {
  const cell = element("td");
  const model = modelOf(schema) || modelOf(schema && schema.items);
  if (model) cell.append(element("a", words(schema), { href: "#model-" + model }));
  else cell.textContent = words(schema);
  return cell;
}

function table(heads, rows) {
  const made = element("table");
  const head = element("tr");
  heads.forEach((text) => head.append(element("th", text, { scope: "col" })));
  made.append(head);
  rows.forEach((cells) => {
    const row = element("tr");
    cells.forEach((cell) => row.append(cell instanceof Node ? cell : element("td", cell)));
    made.append(row);
  });
  return made;
}

function code(text) {
  const cell = element("td");
  cell.append(element("code", text));
  return cell;
}

function members(schema) {
  const required = new Set(schema.required || []);
  return Object.entries(schema.properties || {}).map(([name, member]) => [
    code(name),
    typeCell(member),
    required.has(name) ? "always" : "default" in member ? "default " + JSON.stringify(member.default) : "",
    member.description || "",
  ]);
}

function curl(method, path, operation) {
  const lines = ["curl" + (method === "get" ? "" : " -X " + method.toUpperCase()) + " " + location.origin + path];
  if (operation["x-scope"] !== "read") lines.push('  -H "Authorization: Bearer $ZMART_TOKEN"');
  if (operation.requestBody) lines.push("  -H 'Content-Type: application/json' -d '{ … }'");
  return lines.join(" \\\n");
}

function operationBox(method, path, operation) {
  const box = element("details", undefined, { id: operation.operationId });
  box.dataset.words = (path + " " + operation.summary + " " + operation.description).toLowerCase();
  const summary = element("summary");
  summary.append(element("span", method.toUpperCase(), { class: "method " + method }));
  summary.append(element("code", path), element("span", " " + operation.summary, { class: "said" }));
  const body = element("div");
  body.append(element("p", operation.description));
  body.append(element("p", "Scope: " + operation["x-scope"]));
  if (operation.parameters.length) {
    body.append(element("h4", "Parameters"));
    body.append(table(["name", "in", "type", "default", "meaning"], operation.parameters.map((parameter) => [
      code(parameter.name), parameter.in, typeCell(parameter.schema),
      parameter.schema.default === undefined ? "" : String(parameter.schema.default), parameter.description || "",
    ])));
  }
  if (operation.requestBody) {
    body.append(element("h4", "Body"));
    body.append(table(["model"], [[typeCell(operation.requestBody.content["application/json"].schema)]]));
  }
  body.append(element("h4", "Replies"));
  body.append(table(["status", "content", "meaning"], Object.entries(operation.responses).map(([status, reply]) => [
    status, typeCell(Object.values(reply.content || { none: {} })[0].schema), reply.description,
  ])));
  body.append(element("pre", curl(method, path, operation)));
  box.append(summary, body);
  return box;
}

function drawOperations(description, into) {
  const subjects = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((name) => methods[name])) {
      const subject = methods[method].tags[0];
      if (!subjects.has(subject)) subjects.set(subject, []);
      subjects.get(subject).push(operationBox(method, path, methods[method]));
    }
  }
  into.replaceChildren();
  for (const [subject, boxes] of [...subjects].sort()) into.append(element("h2", subject), ...boxes);
}

function drawModels(description, into) {
  for (const [name, schema] of Object.entries(description.components.schemas).sort()) {
    const box = element("details", undefined, { id: "model-" + name });
    const body = element("div");
    box.append(element("summary", name), body);
    if (schema.description) body.append(element("p", schema.description));
    body.append(table(["member", "type", "", "meaning"], members(schema)));
    into.append(box);
  }
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

function filter(text) {
  for (const box of document.querySelectorAll("#operations details")) {
    box.classList.toggle("hidden", !box.dataset.words.includes(text.trim().toLowerCase()));
  }
}

async function start() {
  const operations = document.getElementById("operations");
  try {
    const reply = await fetch("/openapi.json");
    if (!reply.ok) throw new Error("HTTP " + reply.status);
    const description = await reply.json();
    document.getElementById("version").textContent = description.info.version;
    document.getElementById("about").textContent = description.info.description;
    drawOperations(description, operations);
    drawModels(description, document.getElementById("models"));
  } catch (error) {
    operations.textContent = "The description cannot be read: " + error.message;
    return;
  }
  document.getElementById("find").addEventListener("input", (event) => filter(event.target.value));
  window.addEventListener("hashchange", openTarget);
  openTarget();
}

start();
