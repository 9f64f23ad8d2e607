//! Random damage to the files of alertd, at rest and while it runs: what is served is right, and what is gone is told.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::harness::{Daemon, Key, Random, Request, eventually, program};

type Id = (u64, u64);

fn id(text: &str) -> Id {
    let (ms, sequence) = text.split_once('-').unwrap();
    (ms.parse().unwrap(), sequence.parse().unwrap())
}

/// A state directory with alerts and keys, as a clean stop or a kill left it.
struct Image {
    files: Vec<(PathBuf, Vec<u8>)>,
    alerts: BTreeMap<Id, Value>,
    keys: Vec<Key>,
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn image(is_clean: bool) -> Image {
    let mut daemon = Daemon::start();
    let keys: Vec<_> =
        (0..4).map(|i| daemon.key_with(&json!({ "user": format!("user{i}"), "topics": [format!("t{i}")] }))).collect();
    for number in 0..200 {
        let body = json!({ "topic": format!("t{}", number % 3), "message": format!("{number} {}", "x".repeat(number * 7 % 500)) });
        assert_eq!(Request::post("/alerts").json(&body).over(&daemon.control()).status, 200);
    }
    let alerts = history(&daemon.control()).unwrap().0;
    assert_eq!(alerts.len(), 200);
    if is_clean {
        assert!(daemon.stop().success());
    } else {
        daemon.kill();
    }
    let state = daemon.state();
    let of = |path: PathBuf| (path.strip_prefix(&state).unwrap().to_owned(), fs::read(path).unwrap());
    Image { files: files(&state).into_iter().map(of).collect(), alerts, keys }
}

/// All alerts that are served, and the ids below which the pages say that some may be missing.
fn history(control: &Path) -> Option<(BTreeMap<Id, Value>, Vec<Id>)> {
    let (mut alerts, mut gaps, mut since) = (BTreeMap::new(), Vec::new(), "all".to_owned());
    loop {
        let ask = Request::get(&format!("/alerts?topic=*&limit=50&since={since}")).header("Accept", "application/json");
        let page = ask.over(control).json();
        for alert in page["alerts"].as_array()? {
            alerts.insert(id(alert["id"].as_str()?), alert.clone());
        }
        if !page["gap"].is_null() {
            // Without an `oldest` nothing is left.
            gaps.push(page["gap"]["oldest"].as_str().map_or((u64::MAX, 0), id));
        }
        match page["next"].as_str() {
            Some(next) => since = next.to_owned(),
            None => return Some((alerts, gaps)),
        }
    }
}

/// Does one kind of damage to a file, in place, and says which.
fn corrupt(path: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(path).unwrap();
    let (kind, size) = (random.index(6), [512, 4096][random.index(2)]);
    if bytes.is_empty() {
        return "an empty file".into();
    }
    let at = random.index(bytes.len());
    let page = |at: usize| at / size * size..((at / size + 1) * size).min(bytes.len());
    let (a, b) = (page(at), page(random.index(bytes.len())));
    match kind {
        0 => bytes[at] ^= 1 << random.index(8),
        1 => bytes[at] = u8::try_from(random.index(256)).unwrap(),
        2 => bytes[a].fill(0),
        3 => a.for_each(|at| bytes[at] = u8::try_from(random.index(256)).unwrap()),
        4 if a.len() == b.len() => {
            let kept = bytes[a.clone()].to_vec();
            bytes.copy_within(b.clone(), a.start);
            bytes[b].copy_from_slice(&kept);
        }
        _ => bytes.truncate(at),
    }
    use std::os::unix::fs::FileExt;
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    format!("damage {kind} of {size} bytes at {at} of {}", path.display())
}

/// alertd on a directory; none if it has refused to start, in words that name a file.
fn start(at: &Path, what: &str) -> Option<Child> {
    let log = File::create(at.join("stderr")).unwrap();
    let mut command = program("alertd");
    command.arg("--config").arg(at.join("alertd.toml")).env("ALERTD_HTTP_LISTEN", "127.0.0.1:0");
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let ended = eventually("the start, or its refusal", || match child.try_wait().unwrap() {
        Some(status) => Some(Some(status)),
        None => fs::read_to_string(at.join("stderr")).unwrap().contains(" http=").then_some(None),
    });
    let Some(status) = ended else { return Some(child) };
    let said = fs::read_to_string(at.join("stderr")).unwrap();
    assert_eq!(status.code(), Some(65), "{what}: {status}: {said}");
    assert!(said.contains(at.join("state").to_str().unwrap()) && said.contains("backup"), "{what}: {said}");
    None
}

/// Damages a copy of the image, before or after alertd has started on it, and checks what is served. Returns whether it
/// was refused.
fn run(image: &Image, seed: u64) -> bool {
    let mut random = Random(seed);
    let directory = tempfile::tempdir().unwrap();
    let (at, state) = (directory.path(), directory.path().join("state"));
    for (name, bytes) in &image.files {
        fs::create_dir_all(state.join(name).parent().unwrap()).unwrap();
        fs::write(state.join(name), bytes).unwrap();
    }
    let paths = [("state_dir", "state"), ("control_socket", "control.sock"), ("publish_socket", "publish.sock")];
    let settings = paths.map(|(name, path)| format!("{name} = \"{}\"\n", at.join(path).display())).concat();
    fs::write(at.join("alertd.toml"), settings).unwrap();
    let is_running = random.index(3) == 0;
    let mut all = files(&state);
    all.retain(|path| !is_running || path.extension().is_some_and(|ending| ending == "seg"));
    all.sort();
    let victim = all[random.index(all.len())].clone();
    let mut what = format!("seed {seed}, running {is_running}");
    if !is_running {
        what += &format!(": {}", corrupt(&victim, &mut random));
    }
    let Some(mut child) = start(at, &what) else { return true };
    if is_running {
        what += &format!(": {}", corrupt(&victim, &mut random));
    }
    let control = at.join("control.sock");
    let (served, gaps) = history(&control).unwrap_or_else(|| panic!("{what}: history was not served"));
    for (id, alert) in &served {
        assert_eq!(image.alerts.get(id), Some(alert), "{what}: {id:?} is wrong");
    }
    let is_told = |id: &Id| gaps.iter().any(|oldest| id < oldest);
    let missing: Vec<_> = image.alerts.keys().filter(|id| !served.contains_key(*id)).collect();
    assert!(missing.iter().all(|id| is_told(id)), "{what}: {missing:?} are missing, and the gaps are {gaps:?}");
    let listed = Request::get("/keys").over(&control).json();
    let rights = |key: &Value| (key["id"].clone(), key["user"].clone(), key["topics"].clone());
    let usable: Vec<_> = listed["keys"].as_array().unwrap().iter().map(rights).collect();
    for (i, key) in image.keys.iter().enumerate() {
        let own = (json!(key.id), json!(format!("user{i}")), json!([format!("t{i}")]));
        assert!(usable.contains(&own) || !usable.iter().any(|(id, ..)| id == key.id.as_str()), "{what}: {listed}");
    }
    let unusable = listed["unusable"].as_array().map_or(0, Vec::len);
    assert_eq!(usable.len() + unusable, image.keys.len(), "{what}: {listed}");
    let publish = Request::post("/alerts/after").body("after").over(&control);
    assert_eq!(publish.status, 200, "{what}: {}", publish.text());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let status = eventually("the end", || child.try_wait().unwrap());
    let mut said = String::new();
    File::open(at.join("stderr")).unwrap().read_to_string(&mut said).unwrap();
    assert!(status.success() && !said.contains("panicked"), "{what}: {status}: {said}");
    assert!(
        missing.is_empty() || said.contains("store-damaged"),
        "{what}: {missing:?} are missing, and the log says {said}"
    );
    false
}

#[test]
fn random_damage_at_rest_and_under_a_running_alertd_is_refused_or_told() {
    let variable = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, runs) = (variable("ALERTD_TEST_SEED").unwrap_or(1), variable("ALERTD_TEST_RUNS").unwrap_or(1) * 20);
    let images = [image(true), image(false)];
    let refused = (first..first + runs).filter(|seed| run(&images[usize::from(seed % 2 == 0)], *seed)).count() as u64;
    assert!(refused * 2 < runs, "{refused} of {runs} starts were refused");
}
