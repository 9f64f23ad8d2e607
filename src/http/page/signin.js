// The form for a key, and where the key is kept: in a variable, in the tab if the user asks for that, and on the device only a
// key that may do nothing but read, for a screen on a wall. Used by main.js.

import { Api } from "./api.js";
import { topicsOf } from "./address.js";
import { otherScopes } from "./scopes.js";
import { store, stored } from "./storage.js";

const $ = (id) => document.getElementById(id);
const STORED_KEY = "alertd.key";

export function complain(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

/** The kept key, or "". The one of the device is for the wall view only. */
export function keptKey(isWall) {
  return stored("sessionStorage", STORED_KEY) || (isWall ? stored("localStorage", STORED_KEY) : "");
}

/** Forgets a key that is kept; without one, whichever is. */
export function forgetKey(key) {
  for (const storage of ["sessionStorage", "localStorage"]) {
    if (key === undefined || stored(storage, STORED_KEY) === key) store(storage, STORED_KEY, "");
  }
}

/** Keeps a key on this device if it may only read. Throws an error with a text for the user. */
async function keepOnDevice(key) {
  let others;
  try {
    others = await otherScopes(new Api(key));
  } catch (problem) {
    if (problem.status === 401) return;
    throw new Error(`The key is not kept, because its scopes are not known: ${problem.message}.`, { cause: problem });
  }
  if (others.length > 0) {
    const remedy = "Make one for this screen: alertctl key add NAME --scope subscribe";
    throw new Error(`A key with the scope ${others.join(", ")} is not kept on a device, where anybody could take it. ${remedy}`);
  }
  store("localStorage", STORED_KEY, key);
}

export class SignIn {
  #entered;

  /** `entered` is called with a key and a filter. */
  constructor(entered) {
    this.#entered = entered;
    $("sign-in").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    $("keep-device").addEventListener("change", () => $("keep-device").checked && ($("keep").checked = false));
    $("keep").addEventListener("change", () => $("keep").checked && ($("keep-device").checked = false));
  }

  async #submit() {
    const typed = $("key").value.trim();
    complain("sign-in-error", "");
    try {
      if (!typed) throw new Error("Enter a key.");
      if (!/^[\x21-\x7e]+$/.test(typed)) throw new Error("A key has no spaces and no special characters.");
      const filter = { topics: topicsOf($("sign-in-topics").value), level: $("sign-in-level").value };
      if (!$("keep-device-line").hidden && $("keep-device").checked) await keepOnDevice(typed);
      store("sessionStorage", STORED_KEY, $("keep").checked ? typed : "");
      this.#entered(typed, filter);
    } catch (error) {
      complain("sign-in-error", error.message);
    }
  }

  fill({ filter, isWall }) {
    $("sign-in-topics").value = filter.topics.join(", ");
    $("sign-in-level").value = filter.level;
    $("keep-device-line").hidden = !isWall;
  }

  /** Shows the form. */
  open(wanted, text) {
    this.fill(wanted);
    complain("sign-in-error", text);
    $("plain").hidden = window.isSecureContext;
    $("key").focus();
    $("key").select();
  }

  /** A kept key, as if it had been entered. */
  take(key) {
    $("keep").checked = stored("sessionStorage", STORED_KEY) === key;
    $("keep-device").checked = !$("keep").checked;
    $("key").value = key;
  }

  clear() {
    forgetKey();
    $("key").value = "";
    $("keep").checked = $("keep-device").checked = false;
  }
}
