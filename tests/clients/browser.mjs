// A browser at the end of a pipe: takes one command a line as JSON, does it, and answers with one line. What the page
// complained of, and whom it asked, is gathered all along.
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PATIENCE = 30_000;
const axe = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const complaints = [];
const hosts = new Set();
let page;

const commands = {
  async open({ url, scheme, width, permissions, before }) {
    const context = await browser.newContext({
      colorScheme: scheme,
      permissions,
      viewport: { width, height: 720 },
    });
    if (before) await context.addInitScript(before);
    page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => hosts.add(new URL(request.url()).host));
    await page.goto(url);
  },
  fill: ({ at, text }) => page.fill(at, text),
  choose: ({ at, text }) => page.selectOption(at, text),
  click: ({ at }) => page.click(at),
  press: ({ text }) => page.keyboard.press(text),
  reload: () => page.reload(),
  evaluate: ({ script }) => page.evaluate(script),
  // Looked at from outside: the page's policy lets nothing be evaluated inside.
  async until({ script }) {
    for (const end = Date.now() + PATIENCE; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
      if (await page.evaluate(script)) return;
      if (Date.now() > end) throw new Error("never came true");
    }
  },
  async audit() {
    if (!(await page.evaluate("!!window.axe"))) await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.failureSummary + node.html).join("; ")}`);
  },
  report: () => ({ complaints, hosts: [...hosts] }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await commands[command.name](command)) ?? null };
  } catch (error) {
    const seen = await page?.evaluate(() => document.body.innerText).catch(() => "");
    answer = { error: `${JSON.stringify(command)}: ${error.message}\n--- the page\n${seen}\n--- complaints\n${complaints.join("\n")}` };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
