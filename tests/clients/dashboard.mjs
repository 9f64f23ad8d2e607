// A page of another origin, as a dashboard has it: serves one empty page and the code of protocol.md, and lets a browser
// follow alerts with it. Prints what the browser gets.
import { chromium } from "playwright-core";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";

const code = readFileSync("protocol.js");
const server = createServer((request, response) => {
  const [type, body] = request.url === "/protocol.js" ? ["text/javascript", code] : ["text/html", "<!doctype html>"];
  response.writeHead(200, { "Content-Type": type }).end(body);
});
const [host, port] = process.env.DASHBOARD.split(":");
await new Promise((listening) => server.listen(Number(port), host, listening));
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage();
await page.exposeFunction("say", (...words) => console.log(...words));
await page.goto(`http://${process.env.DASHBOARD}/`);
const [url, key] = [new URL(process.env.URL_TO_FOLLOW), process.env.KEY];
page.evaluate(
  async ([origin, topic, secret]) => {
    const { follow } = await import("/protocol.js");
    // The events beside alerts are the flow's own affair; they are told here so that a test can wait for them.
    const Real = window.EventSource;
    window.EventSource = class extends Real {
      constructor(...words) {
        super(...words);
        for (const name of ["cursor", "gap", "bye"]) this.addEventListener(name, ({ data }) => window.say(name, data));
        this.addEventListener("error", () => window.say("error"));
      }
    };
    try {
      await follow(origin, secret, `topic=${topic}`, ({ id, message }) => window.say("alert", id, message));
    } catch (error) {
      window.say("refused", error.message);
    }
  },
  [url.origin, url.pathname.split("/").at(-1), key],
);
