// The code of protocol.md in Node.js, with the npm package "eventsource" in the place of the browser's own. Prints what
// it gets.
import { EventSource } from "eventsource";
import { follow } from "./protocol.js";

const url = new URL(process.env.URL_TO_FOLLOW);
globalThis.EventSource = class extends EventSource {
  constructor(...words) {
    super(...words);
    for (const name of ["cursor", "gap", "bye"]) this.addEventListener(name, ({ data }) => console.log(name, data));
    this.addEventListener("error", () => console.log("error"));
  }
};
try {
  const topic = url.pathname.split("/").at(-1);
  await follow(url.origin, process.env.KEY, `topic=${topic}`, ({ id, message }) => console.log("alert", id, message));
} catch (error) {
  console.log("refused", error.message);
}
