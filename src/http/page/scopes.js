// What a key may do apart from reading, asked of the server without changing anything: a key that stays on a device must not
// be able to do more than show alerts, and there are buttons only for those who may use them. Used by signin.js, unresolved.js
// and detail.js.

/**
 * A request for each scope that a key without it is refused. The first one is never stored, because no parameter of that
 * name exists, and there is no alert in it.
 */
const QUESTIONS = {
  publish: ["alerts/default?no_such_parameter=1", { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" }],
  metrics: ["metrics", { method: "HEAD" }],
  admin: ["keys", { method: "HEAD" }],
};

/** For each Api the scopes whose answers are known. */
const known = new WeakMap();

/** Whether a key has a scope, which the server is asked once. Throws if the server does not say. */
export async function hasScope(api, scope) {
  const answers = known.get(api) ?? {};
  known.set(api, answers);
  return (answers[scope] ??= await ask(api, scope));
}

async function ask(api, scope) {
  try {
    await api.send(...QUESTIONS[scope]);
  } catch (problem) {
    if (problem.isTransient || problem.status === 401) throw problem;
    return problem.status !== 403;
  }
  return true;
}

/** The scopes of a key apart from `subscribe`. Throws if the server does not say. */
export async function otherScopes(api) {
  const found = [];
  for (const scope of Object.keys(QUESTIONS)) if (await hasScope(api, scope)) found.push(scope);
  return found;
}
