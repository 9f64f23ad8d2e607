// Follows a stream with the npm package "eventsource", as a service would, and prints what it gets.
import { EventSource } from "eventsource";

const [url, key] = [process.env.URL_TO_FOLLOW, process.env.KEY];
const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${key}` } }),
});
source.onopen = () => console.log("open");
source.onmessage = (event) => console.log("alert", event.lastEventId, JSON.parse(event.data).message);
for (const name of ["cursor", "gap", "bye"]) {
  source.addEventListener(name, (event) => console.log(name, event.data));
}
source.onerror = () => console.log("error");
