//! The board of unresolved incidents agrees with the server, whatever the stream says and when.

use serde_json::{Value, json};

use super::incidents::report;
use super::{enter, open, watching};
use crate::harness::{Daemon, Key, Random, Request};

/// What the board must show of what the server says.
fn wanted(daemon: &Daemon, key: &Key) -> Vec<[String; 5]> {
    let answer = daemon.send(&Request::get("/incidents").key(key)).json();
    let mut all = answer["incidents"].as_array().unwrap().clone();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    // The order of the answer, the newest change first, stays among equals.
    all.sort_by_key(|one| (one["state"] == "acknowledged", one["level"] == "warn"));
    all.iter()
        .map(|one| {
            let count = if one["count"] == 1 { String::new() } else { format!("×{}", one["count"]) };
            let state = format!("incident {} {}", text(one, "level"), text(one, "state"));
            [text(one, "incident"), state, count, text(one, "message"), text(one, "note")]
        })
        .collect()
}

#[test]
fn whatever_happens_the_board_agrees_with_the_server() {
    const BOARD: &str = "JSON.stringify([...document.querySelectorAll('.incident')].map((one) => {
        const text = (at) => one.querySelector(at).textContent;
        const taken = text('.taken').split(': ');
        const note = one.matches('.acknowledged') ? taken.slice(1).join(': ') : taken.join(': ');
        return [text('.name'), one.className, text('.repeats'), text('.message'), note];
    }))";
    let daemon = Daemon::with("[limits]\npublish_rate = 0\n");
    let key = daemon.key("alice");
    let mut browser = watching(&daemon, &key);
    browser.says("#incidents-title", "All is well");
    for round in 0..6 {
        let mut random = Random::new(23, round);
        for step in 0..30 {
            let name = ["a", "b", "c", "d"][random.index(4)];
            let what = ["info", "warn", "warn", "error", "resolved", "acknowledge", "acknowledge", "resolve", "reopen"];
            match what[random.index(what.len())] {
                level @ ("info" | "warn" | "error") => {
                    report(&daemon, &key, "ops", name, level, &format!("{round} {step}"))
                }
                "resolved" => {
                    let over = json!({"message": "over", "incident": name, "status": "resolved"});
                    assert_eq!(daemon.send(&Request::post("/alerts/ops").key(&key).json(&over)).status, 200);
                }
                action => {
                    let note = (random.index(2) == 1).then(|| json!({"note": format!("note {round} {step}")}));
                    let request = Request::post(&format!("/incidents/ops/{name}/{action}")).key(&key);
                    let answer = daemon.send(&request.json(&note.unwrap_or(json!({}))));
                    // Unknown, and resolved.
                    assert!([200, 404, 409].contains(&answer.status), "{answer:?}");
                }
            }
        }
        let wanted = json!(wanted(&daemon, &key));
        browser.until(&format!("{BOARD} === JSON.stringify({wanted})"));
        if round == 3 {
            browser.reload();
            enter(&mut browser, &key);
            browser.until(&format!("{BOARD} === JSON.stringify({wanted})"));
        }
    }
}

/// What the stream and the server say in the test below.
const SAID: &str = "
    const { Incidents } = await import('/page/incidents.js');
    const alert = (id, count, level, more = {}) =>
        ({ id, topic: 't', incident: 'i', occurrence: 2, status: 'open', count, level, message: id, received_at: id, ...more });
    const change = (id, state, more = {}) =>
        ({ id, topic: 't', incident: 'i', occurrence: 2, count: 3, state, by: 'bob', note: null, time: id, ...more });
    const row = { topic: 't', incident: 'i', occurrence: 2, state: 'acknowledged', level: 'warn', message: 'm', title: null,
        opened_at: '1', updated_at: '5', count: 3, alert: '4-0', acknowledged_by: 'ann', acknowledged_at: '5', note: null };";

/// What is told of the incidents after each step.
const STEPS: &str = "
    let arrive;
    let asked = 0;
    const api = { incidents: async () => {
        asked += 1;
        arrive?.();
        return { incidents: asked < 3 ? [row] : [{ ...row, incident: 'j' }], next: null };
    } };
    const incidents = new Incidents(api, { topics: ['t'], level: 'info' }, () => {});
    const told = [];
    const tell = () => told.push(incidents.all.map(({ incident, state, level, count, acknowledged_by }) =>
        [incident, state, level, count, acknowledged_by].join(' ')).join());
    // What the answer has already arrives while it is waited for: a worse alert, then a calmer one, and who took it.
    arrive = () => {
        incidents.alert(alert('3-0', 2, 'error'));
        incidents.alert(alert('4-0', 3, 'warn'));
        incidents.transition(change('5-0', 'acknowledged', { by: 'ann' }));
    };
    const turn = () => new Promise((resolve) => setTimeout(resolve));
    incidents.connection('live');
    while (!incidents.isKnown) await turn();
    arrive();
    arrive = null;
    tell();
    // Of an earlier occurrence, and reminders.
    incidents.alert(alert('6-0', 9, 'error', { occurrence: 1 }));
    incidents.transition(change('7-0', 'open', { occurrence: 1 }));
    incidents.alert(alert('8-0', 3, 'warn', { metadata: { reminder: 1 } }));
    tell();
    incidents.alert(alert('9-0', 4, 'info'));
    tell();
    incidents.alert(alert('10-0', 5, 'error'));
    tell();
    incidents.transition(change('11-0', 'acknowledged', { count: 5 }));
    tell();
    incidents.alert(alert('12-0', 5, 'info', { status: 'resolved' }));
    tell();
    incidents.alert(alert('13-0', 1, 'warn', { occurrence: 3 }));
    tell();
    incidents.transition(change('14-0', 'resolved', { occurrence: 3, by: null }));
    tell();
    // Only the server knows what this one was before: it is asked.
    await incidents.load();
    incidents.transition(change('15-0', 'open', { incident: 'k' }));
    while (asked < 3 || !incidents.get('[\"t\",\"j\"]')) await turn();
    tell();
    incidents.stop();
    return told;";

#[test]
fn what_the_stream_says_late_or_twice_changes_nothing() {
    let daemon = Daemon::start();
    let mut browser = open(&daemon);
    let told = browser.evaluate(&format!("(async () => {{{SAID}{STEPS}}})()"));
    let same = "i acknowledged warn 3 ann";
    let open = "i open error 5 ";
    let last = [
        "i acknowledged warn 4 ann",
        open,
        "i acknowledged error 5 bob",
        "",
        "i open warn 1 ",
        "",
        "j acknowledged warn 3 ann",
    ];
    let wanted: Vec<_> = [same, same].into_iter().chain(last).collect();
    assert_eq!(told, json!(wanted));
}
